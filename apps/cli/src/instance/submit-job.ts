import { type JobSpecInput, JobView } from "@airlock/api";
import type { FieldProblem } from "@airlock/yaml-source";
import { commitWorkingTree } from "../checkout/commit-working-tree.ts";
import { describeUncommitted } from "../checkout/uncommitted-changes.ts";
import { UsageError } from "../context/command-error.ts";
import type { InstanceClient } from "./instance-client.ts";
import { refusalProblems } from "./refusal-problems.ts";
import { UnreachableError } from "./request-error.ts";
import { resolveRepository } from "./resolve-repository.ts";

/** A job as a person wrote it. Its repository may still be a URL or a path. */
export interface JobDraft {
  readonly spec: JobSpecInput;
  /** Base for a relative repository path. */
  readonly directory: string;
  /** Makes an error that shows the problems where they were written. */
  readonly report: (problems: readonly FieldProblem[]) => Error;
}

export interface SubmitOptions {
  readonly idempotencyKey: string;
  /** Called with descriptions of slow operations, as safe text. */
  readonly progress: (text: string) => void;
  readonly signal?: AbortSignal | undefined;
  /** The person's environment, for git in a checkout. */
  readonly env: NodeJS.ProcessEnv;
  /** Submit the working tree of the checkout instead of its commit. */
  readonly dirty?: boolean | undefined;
  /** Called with what differs from the checkout: what is left out, or what is included. */
  readonly note?: (note: { readonly kind: "left-out" | "included"; readonly text: string }) => void;
}

/** Long, because the instance first refreshes its mirror of the repository. */
const createTimeoutMs = 300_000;

/**
 * Submits a job, and first adds its repository if that is a new URL or path. If the response is lost, repeats the
 * request with the same idempotency key, which returns the same job.
 * @throws the result of `draft.report` for problems that the instance found, or the error of a request.
 */
export async function submitJob(client: InstanceClient, draft: JobDraft, options: SubmitOptions): Promise<JobView> {
  const { idempotencyKey, progress, signal, env, dirty = false, note = () => {} } = options;
  try {
    const { repository, revision = "HEAD" } = draft.spec;
    if (dirty && revision !== "HEAD") {
      throw new UsageError("--dirty takes the checked-out commit", `Leave out the revision "${revision}", or --dirty.`);
    }
    let checkout: string | undefined;
    const onCheckout = (root: string) => {
      checkout = root;
    };
    const name =
      repository === undefined
        ? undefined
        : await resolveRepository(client, repository, { directory: draft.directory, progress, signal, onCheckout });
    const spec = { ...draft.spec, ...(name === undefined ? {} : { repository: name }) };
    if (dirty) {
      if (checkout === undefined) {
        throw new UsageError("--dirty needs the path of a checkout", "Write --repo PATH, such as --repo .");
      }
      const taken = await commitWorkingTree(checkout, { env });
      if (taken) {
        spec.revision = taken.commit;
        note({ kind: "included", text: `the job includes uncommitted changes: ${taken.description}` });
      }
    } else if (checkout !== undefined && revision === "HEAD") {
      const leftOut = await describeUncommitted(checkout, { env });
      if (leftOut !== undefined) note({ kind: "left-out", text: leftOut });
    }
    signal?.throwIfAborted();
    // Not abortable from here on: the job could be created without its id being known.
    return await create(client, spec, idempotencyKey);
  } catch (error) {
    const problems = refusalProblems(error);
    throw problems ? draft.report(problems) : error;
  }
}

async function create(client: InstanceClient, spec: JobSpecInput, idempotencyKey: string): Promise<JobView> {
  for (let attemptsLeft = 2; ; attemptsLeft--) {
    try {
      return await client.json(JobView, "jobs", {
        method: "POST",
        body: spec,
        headers: { "idempotency-key": idempotencyKey },
        signal: AbortSignal.timeout(createTimeoutMs),
      });
    } catch (error) {
      // If the connection was refused, the job cannot have been submitted, so report that at once.
      if (!(error instanceof UnreachableError) || attemptsLeft === 0 || error.systemCode === "ECONNREFUSED")
        throw error;
    }
  }
}

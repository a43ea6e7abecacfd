import { type JobSpecInput, JobView } from "@airlock/api";
import type { SpecProblem } from "../job-file/spec-problem.ts";
import type { InstanceClient } from "./instance-client.ts";
import { refusalProblems } from "./refusal-problems.ts";
import { UnreachableError } from "./request-error.ts";
import { resolveRepository } from "./resolve-repository.ts";
import { describeUncommitted } from "./uncommitted-changes.ts";

/** A job as a person wrote it. Its repository may still be a URL or a path. */
export interface JobDraft {
  readonly spec: JobSpecInput;
  /** Base for a relative repository path. */
  readonly directory: string;
  /** Makes an error that shows the problems where they were written. */
  readonly report: (problems: readonly SpecProblem[]) => Error;
}

/** Long, because the instance first refreshes its mirror of the repository. */
const createTimeoutMs = 300_000;

/**
 * Submits a job, and first adds its repository if that is a new URL or path. If the response is lost, repeats the
 * request with the same idempotency key, which returns the same job.
 * @throws the result of `draft.report` for problems that the instance found, or the error of a request.
 */
export async function submitJob(
  client: InstanceClient,
  draft: JobDraft,
  idempotencyKey: string,
  progress: (text: string) => void,
  signal?: AbortSignal,
  warn: (text: string) => void = () => {},
): Promise<JobView> {
  try {
    const { repository, revision = "HEAD" } = draft.spec;
    let checkout: string | undefined;
    const onCheckout = (root: string) => {
      checkout = root;
    };
    const name =
      repository === undefined
        ? undefined
        : await resolveRepository(client, repository, { directory: draft.directory, progress, signal, onCheckout });
    if (checkout !== undefined && revision === "HEAD") {
      const leftOut = await describeUncommitted(checkout);
      if (leftOut !== undefined) warn(leftOut);
    }
    signal?.throwIfAborted();
    // Not abortable from here on: the job could be created without its id being known.
    return await create(client, { ...draft.spec, ...(name === undefined ? {} : { repository: name }) }, idempotencyKey);
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

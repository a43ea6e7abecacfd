import { type JobSpecInput, JobView } from "@airlock/api";
import type { SpecProblem } from "../job-file/spec-problem.ts";
import type { InstanceClient } from "./instance-client.ts";
import { refusalProblems } from "./refusal-problems.ts";
import { UnreachableError } from "./request-error.ts";
import { resolveRepository } from "./resolve-repository.ts";
import { describeUncommitted } from "./uncommitted-changes.ts";

/** A job as a person wrote it, before its repository is one that the instance knows. */
export interface JobDraft {
  readonly spec: JobSpecInput;
  /** What a relative repository path is relative to. */
  readonly directory: string;
  /** An error that shows problems where they were written. */
  readonly report: (problems: readonly SpecProblem[]) => Error;
}

/** The instance refreshes its mirror first, which may take a while. */
const createTimeoutMs = 300_000;

/**
 * Submits a job, its repository added first where it is a new URL or path. Where the answer gets lost on its way, the
 * same idempotency key is sent again and names the same job.
 * @throws what `draft.report` makes of the instance's findings, and what requests throw.
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
    // Not interrupted from here on: the job would be there, and nobody would know of it.
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
      // Where nobody listens nothing can have arrived.
      if (!(error instanceof UnreachableError) || attemptsLeft === 0 || error.systemCode === "ECONNREFUSED")
        throw error;
    }
  }
}

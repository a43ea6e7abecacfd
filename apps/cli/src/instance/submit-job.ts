import { type JobSpecInput, JobView } from "@airlock/api";
import type { AirlockError } from "@airlock/job";
import type { SpecProblem } from "../job-file/spec-problem.ts";
import type { InstanceClient } from "./instance-client.ts";
import { refusalProblems } from "./refusal-problems.ts";
import { UnreachableError } from "./request-error.ts";
import { resolveRepository } from "./resolve-repository.ts";

/** A job as a person wrote it, before its repository is one that the instance knows. */
export interface JobDraft {
  readonly spec: JobSpecInput;
  /** What a relative repository path is relative to. */
  readonly directory: string;
  /** An error that shows problems where they were written. */
  readonly report: (problems: readonly SpecProblem[]) => Error;
}

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
): Promise<JobView> {
  try {
    const { repository } = draft.spec;
    const name =
      repository === undefined
        ? undefined
        : await resolveRepository(client, repository, { directory: draft.directory, progress, signal });
    return await create(
      client,
      { ...draft.spec, ...(name === undefined ? {} : { repository: name }) },
      idempotencyKey,
      signal,
    );
  } catch (error) {
    const problems = refusalProblems(error);
    throw problems ? draft.report(problems) : error;
  }
}

async function create(
  client: InstanceClient,
  spec: JobSpecInput,
  idempotencyKey: string,
  signal: AbortSignal | undefined,
): Promise<JobView> {
  for (let attemptsLeft = 2; ; attemptsLeft--) {
    try {
      return await client.json(JobView, "jobs", {
        method: "POST",
        body: spec,
        headers: { "idempotency-key": idempotencyKey },
        signal,
      });
    } catch (error) {
      if (!(error instanceof UnreachableError) || attemptsLeft === 0 || nobodyListens(error)) throw error;
    }
  }
}

/** Nothing can have arrived. */
function nobodyListens(error: AirlockError): boolean {
  return /ECONNREFUSED|ENOTFOUND/.test(error.message);
}

import { assertNever } from "@airlock/job";
import { type DequeuedJob, instanceKnows } from "../instance-client/dequeued-job.ts";
import type { InstanceClient } from "../instance-client/instance-client.ts";
import { InstanceError } from "../instance-client/instance-error.ts";
import { retry } from "../instance-client/retry.ts";
import type { JobOutcome } from "../job/job-outcome.ts";

/**
 * `refused`: the attempt had lapsed or was already reported, so the report had no effect. `not-ours`: nothing was sent.
 */
export type Report =
  | { readonly kind: "reported" | "not-ours" }
  | { readonly kind: "refused"; readonly error: InstanceError };

/** Some instances reject longer error messages. */
const maximumMessageLength = 8000;

/**
 * Reports to the instance how the job ended. Repeats the request until the instance answers.
 * @throws `signal.reason` when the signal aborts.
 */
export async function reportOutcome(
  client: InstanceClient,
  job: DequeuedJob,
  outcome: JobOutcome,
  signal: AbortSignal,
): Promise<Report> {
  if (outcome.kind === "abandoned") return { kind: "not-ours" };
  try {
    await retry(() => send(client, job, outcome, signal), { signal });
    return { kind: "reported" };
  } catch (error) {
    if (error instanceof InstanceError && !error.passing) return { kind: "refused", error };
    throw error;
  }
}

async function send(
  client: InstanceClient,
  job: DequeuedJob,
  outcome: Exclude<JobOutcome, { kind: "abandoned" }>,
  signal: AbortSignal,
): Promise<void> {
  const end = outcome.steps && instanceKnows(job, "results") ? { steps: [...outcome.steps] } : {};
  switch (outcome.kind) {
    case "completed":
      return await client.markComplete(job, end, signal);
    case "failed": {
      // In the protocol, a job that timed out counts as errored.
      if (outcome.reason === "timeout" && !job.payload.airlock) {
        const errorMessage = outcome.message.slice(0, maximumMessageLength);
        return await client.markErrored(job, { errorMessage, reason: outcome.reason }, signal);
      }
      const { reason, exitCode, message } = outcome;
      const fault = {
        ...end,
        errorMessage: message.slice(0, maximumMessageLength),
        ...(reason === null ? {} : { reason }),
        // Windows programs and foreign runtimes have exit codes beyond a shell's range.
        ...(exitCode === null ? {} : { exitCode: Math.min(255, Math.max(0, exitCode)) }),
      };
      return await client.markFailed(job, fault, signal);
    }
    case "errored": {
      const fault = { ...end, errorMessage: outcome.message.slice(0, maximumMessageLength), reason: outcome.reason };
      return await client.markErrored(job, fault, signal);
    }
    default:
      return assertNever(outcome);
  }
}

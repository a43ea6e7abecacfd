import type { StepResult } from "@airlock/api";
import { AirlockError, errorMessage, type FailureReason, isNoSpace, saysNoSpace } from "@airlock/job";
import { JobStopped } from "./stop-reason.ts";

/** How an attempt ended. Determines what the executor reports. */
export type JobOutcome = AttemptEnd & {
  /** Results of the steps; absent when the attempt ended before it had any. */
  readonly steps?: readonly StepResult[];
};

type AttemptEnd =
  | { readonly kind: "completed" }
  /** The job itself failed, or was canceled (`reason` is null). Final. */
  | {
      readonly kind: "failed";
      readonly reason: FailureReason | null;
      readonly message: string;
      readonly exitCode: number | null;
    }
  /** The executor failed. Another attempt may succeed. */
  | { readonly kind: "errored"; readonly reason: FailureReason; readonly message: string }
  /** The executor lost the job. Its new holder reports the outcome. */
  | { readonly kind: "abandoned"; readonly message: string };

const noSpaceHint =
  "This executor's disk is full: its administrator has to free space, or lower EXECUTOR_MIRROR_CACHE_SIZE and EXECUTOR_IMAGE_CACHE_SIZE";

/** Classifies the error that ended a job. Pure. */
export function outcomeOfError(error: unknown, signal: AbortSignal): JobOutcome {
  // An error while the job was being stopped is a consequence of the stop.
  const cause = signal.aborted ? signal.reason : error;
  if (cause instanceof JobStopped) return outcomeOfStop(cause);
  const isOwnFailure = !(cause instanceof AirlockError) || cause.reason === undefined || cause.reason === "runtime";
  if (isOwnFailure && (isNoSpace(cause) || saysNoSpace(errorMessage(cause)))) {
    return { kind: "errored", reason: "runtime", message: `${errorMessage(cause)}. ${noSpaceHint}` };
  }
  if (!(cause instanceof AirlockError) || cause.reason === undefined) {
    return { kind: "errored", reason: "internal", message: errorMessage(cause) };
  }
  const message = withHint(cause);
  if (cause.retryable) return { kind: "errored", reason: cause.reason, message };
  return { kind: "failed", reason: cause.reason, message, exitCode: null };
}

function outcomeOfStop(stop: JobStopped): JobOutcome {
  switch (stop.kind) {
    case "canceled":
      return { kind: "failed", reason: null, message: stop.message, exitCode: null };
    case "shutdown":
      return { kind: "errored", reason: "executor-shutdown", message: stop.message };
    case "lost":
      return { kind: "abandoned", message: stop.message };
  }
}

function withHint(error: AirlockError): string {
  const message = errorMessage(error);
  return error.hint ? `${message}. ${error.hint}` : message;
}

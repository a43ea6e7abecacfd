import type { StepResult } from "@airlock/api";
import { AirlockError, errorMessage, type FailureReason, isNoSpace, saysNoSpace } from "@airlock/job";
import { JobStopped } from "./stop-reason.ts";

/** How an attempt ended, and so what is reported. */
export type JobOutcome = AttemptEnd & {
  /** How its steps ended; absent when it did not get so far as to have any. */
  readonly steps?: readonly StepResult[];
};

type AttemptEnd =
  | { readonly kind: "completed" }
  /** The job's own fault, or its cancellation (`reason` null): final. */
  | {
      readonly kind: "failed";
      readonly reason: FailureReason | null;
      readonly message: string;
      readonly exitCode: number | null;
    }
  /** Ours: another attempt may do better. */
  | { readonly kind: "errored"; readonly reason: FailureReason; readonly message: string }
  /** Not ours any more: whoever has it now reports. */
  | { readonly kind: "abandoned"; readonly message: string };

const noSpaceHint =
  "This executor's disk is full: its administrator has to make room, or to bound EXECUTOR_MIRROR_CACHE_SIZE and EXECUTOR_IMAGE_CACHE_SIZE";

/** What became of a job whose run threw. Pure. */
export function outcomeOfError(error: unknown, signal: AbortSignal): JobOutcome {
  // Whatever broke while the job was being stopped broke because of that.
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

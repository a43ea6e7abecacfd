import { type Deadline, startDeadline } from "@airlock/async";
import { AirlockError, formatDuration } from "@airlock/job";

/** Aborts with reason `timeout` after `timeoutMs`, or with the outer signal's reason. */
export function startJobDeadline(timeoutMs: number, outer: AbortSignal): Deadline {
  const overrun = () => {
    const text = `the job exceeded the maximum execution time of ${formatDuration(timeoutMs)}`;
    return new AirlockError(text, { code: "timeout", reason: "timeout" });
  };
  return startDeadline(timeoutMs, overrun, outer);
}

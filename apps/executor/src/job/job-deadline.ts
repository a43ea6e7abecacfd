import { type Deadline, startDeadline } from "@airlock/async";
import { AirlockError, formatDuration } from "@airlock/job";
import type { PlannedTimeout } from "./job-plan.ts";

/**
 * Starts the job's time limit. Aborts with reason `timeout` when the job ran too long, or with the outer signal's
 * reason.
 */
export function startJobDeadline({ ms, note }: PlannedTimeout, outer: AbortSignal): Deadline {
  const overrun = () => {
    const whose = note === null ? "" : ", the executor's maximum";
    const text = `the job exceeded the maximum execution time of ${formatDuration(ms)}${whose}`;
    return new AirlockError(text, { code: "timeout", reason: "timeout" });
  };
  return startDeadline(ms, overrun, outer);
}

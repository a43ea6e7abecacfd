import { AirlockError } from "@airlock/job";
import {
  causeOfUnenforcedLimits,
  type LimitEnforcement,
  type UnenforcedLimits,
  unenforcedLimits,
} from "@airlock/runtime";

/**
 * Applies the administrator's setting when the executor starts. Every job has limits, so an executor that refused them
 * one by one would fail all jobs of its queue.
 * @returns a warning for the administrator if jobs run without a limit; `null` if all limits are enforced.
 * @throws {AirlockError} code `limits-not-enforced` for `refuse` if a limit can't be enforced here.
 */
export function limitsWarning(setting: UnenforcedLimits, enforcement: LimitEnforcement): string | null {
  const missing = unenforcedLimits(enforcement).join(", ");
  if (missing === "") return null;
  const cause = causeOfUnenforcedLimits(enforcement);
  if (setting === "none") return `Jobs run without limits for ${missing} (EXECUTOR_UNENFORCED_LIMITS=none). ${cause}`;
  throw new AirlockError(`limits for ${missing} can't be enforced here`, {
    code: "limits-not-enforced",
    hint: `${cause} With EXECUTOR_UNENFORCED_LIMITS=none, jobs run without them.`,
  });
}

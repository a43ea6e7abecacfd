import { refusedByPolicy } from "./errors.ts";
import type { RuntimeDescription } from "./runtime.ts";

/** What happens to sandboxes whose CPU, memory or process limit the host can't enforce: refused, or created without that limit. */
export type UnenforcedLimits = "refuse" | "none";

/** The limits that a host enforces, and the problem if there is one. */
export type LimitEnforcement = Pick<RuntimeDescription, "limitsProblem"> & {
  readonly enforces: Pick<RuntimeDescription["enforces"], "cpu" | "memory" | "pids">;
};

/** The limits that this host can't enforce, in the words of messages. */
export function unenforcedLimits({ enforces }: LimitEnforcement): readonly string[] {
  return (["cpu", "memory", "pids"] as const).filter((limit) => !enforces[limit]);
}

/** Why, and what to do. */
export function causeOfUnenforcedLimits({ limitsProblem }: LimitEnforcement): string {
  return limitsProblem ?? "The runtime does not enforce these limits.";
}

/**
 * Applies the administrator's setting to a new sandbox.
 * @throws {AirlockError} reason `policy` for `refuse` if the host can't enforce a limit.
 */
export function refuseUnenforcedLimits(setting: UnenforcedLimits, enforcement: LimitEnforcement): void {
  const missing = unenforcedLimits(enforcement);
  if (setting === "none" || missing.length === 0) return;
  throw refusedByPolicy(
    `limits for ${missing.join(", ")} can't be enforced here`,
    causeOfUnenforcedLimits(enforcement),
  );
}

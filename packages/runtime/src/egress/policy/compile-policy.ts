import type { EgressPolicy } from "@airlock/job";
import { refusedByPolicy } from "../../contract/index.ts";
import { type IpRange, parseRange } from "../addresses/ip-range.ts";
import { forbiddenRanges, liesIn, specialRanges } from "../addresses/special-ranges.ts";
import type { NameRule } from "./name-rules.ts";

/** A policy that permits some traffic. `none` needs no rules, because its sandbox has no interface. */
export type ConnectedPolicy = Exclude<EgressPolicy, { kind: "none" }>;

export interface RangeRule {
  readonly range: IpRange;
  /** `null`: any port. */
  readonly port: number | null;
}

/** A policy in the form that the kernel's rules and the resolver use. */
export type CompiledPolicy =
  | { readonly kind: "public" }
  | {
      readonly kind: "allow";
      /** Rules that name private addresses, and so open them. */
      readonly privateRanges: readonly RangeRule[];
      /** Rules that are wider than a special range: `0.0.0.0/0` means the internet, without private networks. */
      readonly publicRanges: readonly RangeRule[];
      readonly names: readonly NameRule[];
    };

/**
 * Compiles a policy.
 * @param closed Ranges that no rule opens, in addition to {@link forbiddenRanges}.
 * @throws {AirlockError} reason `policy` for a rule that names only closed addresses. An error is better than silent
 * denials.
 */
export function compilePolicy(policy: ConnectedPolicy, closed: readonly IpRange[]): CompiledPolicy {
  if (policy.kind === "public") return { kind: "public" };
  const privateRanges: RangeRule[] = [];
  const publicRanges: RangeRule[] = [];
  const names: NameRule[] = [];
  for (const rule of policy.rules) {
    if (rule.kind === "name") {
      names.push({ name: rule.name, subdomains: rule.subdomains, port: rule.port });
      continue;
    }
    const range = parseRange(rule.cidr);
    if (liesIn([...forbiddenRanges, ...closed], range)) {
      throw refusedByPolicy(
        `the egress rule "${rule.cidr}" names addresses that stay closed to every job`,
        "Jobs cannot allow metadata, loopback, link-local and multicast addresses, sandboxes, or addresses that the administrator closed.",
      );
    }
    (liesIn(specialRanges, range) ? privateRanges : publicRanges).push({ range, port: rule.port });
  }
  return { kind: "allow", privateRanges, publicRanges, names };
}

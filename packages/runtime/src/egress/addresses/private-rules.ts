import type { AllowRule } from "@airlock/job";
import { includes, parseRange } from "./ip-range.ts";
import { liesIn, specialRanges } from "./special-ranges.ts";

/** An allow-list rule that names addresses. */
export type RangeAllowRule = Extract<AllowRule, { readonly kind: "cidr" }>;

/**
 * Returns the rules that would open private addresses (private networks, CGNAT, benchmarks, …) which `openable` does
 * not cover. Rules by name and rules wider than a private network never open such addresses, so they are not included.
 */
export function uncoveredPrivateRules(
  rules: readonly AllowRule[],
  openable: readonly RangeAllowRule[],
): readonly RangeAllowRule[] {
  return rules.flatMap((rule) => {
    if (rule.kind !== "cidr") return [];
    const range = parseRange(rule.cidr);
    if (!liesIn(specialRanges, range)) return [];
    const isCovered = openable.some(
      ({ cidr, port }) => includes(parseRange(cidr), range) && (port === null || port === rule.port),
    );
    return isCovered ? [] : [rule];
  });
}

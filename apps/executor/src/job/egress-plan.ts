import type { Egress } from "@airlock/api";
import { AirlockError, type EgressPolicy, parseAllowRule } from "@airlock/job";
import { type RuntimeDescription, uncoveredPrivateRules } from "@airlock/runtime";
import type { EgressOptions } from "../config/options.ts";

/** What this machine can enforce and offer. */
export type EgressEnforcement = Pick<
  RuntimeDescription,
  "enforces" | "egressProblem" | "servicesProblem" | "dockerProblem"
>;

export interface PlannedEgress {
  readonly policy: EgressPolicy;
  /** A line for the job's log when the job gets less network than it asked for, or than jobs usually get. */
  readonly note: string | null;
}

/**
 * Decides which network a job gets.
 * @param wanted `undefined`: the job names no policy.
 * @throws {AirlockError} reason `policy` for a policy that this machine can't enforce, and for private addresses that
 * the administrator does not open.
 */
export function planEgress(
  wanted: Egress | undefined,
  options: EgressOptions,
  { enforces, egressProblem }: EgressEnforcement,
): PlannedEgress {
  const can = { none: true, public: enforces.egressPublic, allow: enforces.egressAllow };
  const why = egressProblem ?? "The runtime cannot enforce egress policies.";
  const named = wanted ?? options.default;
  if (named === null) {
    if (can.public) return { policy: { kind: "public" }, note: null };
    return {
      policy: { kind: "none" },
      note: `network: none, because this executor cannot enforce the policy "public". ${why}`,
    };
  }
  const policy = policyOf(named);
  if (policy.kind === "allow") refusePrivateRules(policy.rules, options);
  if (can[policy.kind]) return { policy, note: null };
  if (options.unenforced === "refuse")
    throw refused(`this executor cannot enforce the egress policy "${policy.kind}"`, why);
  return {
    policy: { kind: "none" },
    note: `network: none, because this executor cannot enforce the job's policy "${policy.kind}". ${why}`,
  };
}

/** Warning for the administrator about the networks of jobs here; `null` when there is nothing unusual. */
export function egressWarning(options: EgressOptions, { enforces, egressProblem }: EgressEnforcement): string | null {
  if (enforces.egressPublic && enforces.egressAllow) return null;
  const why = egressProblem ?? "The runtime cannot enforce egress policies.";
  const others = options.unenforced === "refuse" ? "are refused" : "also run without a network";
  if (options.default === "public") {
    const all = options.unenforced === "refuse" ? "is refused" : "runs without a network";
    return `This machine cannot enforce egress policies, but EXECUTOR_DEFAULT_EGRESS=public requires one: each job without an egress policy ${all}. ${why}`;
  }
  return `Jobs have no network on this machine: jobs without an egress policy run without a network, and jobs that ask for one ${others} (EXECUTOR_UNENFORCED_EGRESS). ${why}`;
}

function policyOf(egress: Egress): EgressPolicy {
  if (typeof egress === "string") return { kind: egress };
  const rules = egress.allow.map((text) => {
    const rule = parseAllowRule(text);
    if (rule.kind === "invalid")
      throw refused(`"${text}" is not an egress rule: ${rule.problem}`, "Correct the job's `egress`.");
    return rule;
  });
  return { kind: "allow", rules };
}

function refusePrivateRules(
  rules: Extract<EgressPolicy, { kind: "allow" }>["rules"],
  { openable }: EgressOptions,
): void {
  const [rule] = uncoveredPrivateRules(rules, openable);
  if (!rule) return;
  const range = rule.cidr.includes(":") ? `[${rule.cidr}]` : rule.cidr;
  const text = rule.port === null ? range : `${range}:${rule.port}`;
  throw refused(
    `the egress rule "${text}" names private addresses, which this executor keeps closed`,
    "The executor's administrator can list addresses that jobs may open in EXECUTOR_EGRESS_OPENABLE.",
  );
}

function refused(what: string, hint: string): AirlockError {
  return new AirlockError(what, { code: "policy", reason: "policy", hint });
}

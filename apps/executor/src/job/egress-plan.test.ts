import { parseAllowRule } from "@airlock/job";
import type { RangeAllowRule } from "@airlock/runtime";
import { describe, expect, it } from "vitest";
import type { EgressOptions } from "../config/options.ts";
import { egressWarning, planEgress } from "./egress-plan.ts";

const limits = { cpu: true, memory: true, pids: true, egressNone: true, disk: "none" as const };
const enforcing = { enforces: { ...limits, egressPublic: true, egressAllow: true }, dockerProblem: null };
const weak = {
  enforces: { ...limits, egressPublic: false, egressAllow: false },
  dockerProblem: null,
  egressProblem: "Egress policies need root; run the executor as root.",
};
const options: EgressOptions = { default: null, unenforced: "refuse", openable: [] };
const refusal = (what: string) => expect.objectContaining({ reason: "policy", message: expect.stringContaining(what) });

describe("the network of a job", () => {
  it("is the internet if neither the job nor the administrator sets a policy, and the machine can enforce that", () => {
    expect(planEgress(undefined, options, enforcing)).toEqual({ policy: { kind: "public" }, note: null });
  });

  it("is off if the machine can't enforce a policy, and the job is told why", () => {
    const { policy, note } = planEgress(undefined, options, weak);
    expect(policy).toEqual({ kind: "none" });
    expect(note).toBe(
      'network: none, because this executor cannot enforce the policy "public". Egress policies need root; run the executor as root.',
    );
  });

  it("is what the administrator configures if the job requests nothing", () => {
    expect(planEgress(undefined, { ...options, default: "none" }, enforcing)).toEqual({
      policy: { kind: "none" },
      note: null,
    });
    expect(() => planEgress(undefined, { ...options, default: "public" }, weak)).toThrow(refusal("public"));
  });

  it("is off on any machine for a job that requests none, without a message", () => {
    for (const machine of [enforcing, weak])
      expect(planEgress("none", options, machine)).toEqual({ policy: { kind: "none" }, note: null });
  });

  it.each([["public" as const], [{ allow: ["example.com:443"] }]])(
    "is refused for a policy that can't be enforced, unless the administrator prefers no network: %j",
    (egress) => {
      const kind = typeof egress === "string" ? egress : "allow";
      expect(() => planEgress(egress, options, weak)).toThrow(refusal(`cannot enforce the egress policy "${kind}"`));
      expect(() => planEgress(egress, options, weak)).toThrow(expect.objectContaining({ hint: weak.egressProblem }));
      expect(planEgress(egress, { ...options, unenforced: "none" }, weak)).toEqual({
        policy: { kind: "none" },
        note: expect.stringContaining(`cannot enforce the job's policy "${kind}"`),
      });
    },
  );

  it("opens private addresses only if the administrator lists them", () => {
    const attempt = (rule: string, openable: readonly string[] = []) =>
      planEgress(
        { allow: [rule, "example.com"] },
        { ...options, openable: openable.map((text) => parseAllowRule(text) as RangeAllowRule) },
        enforcing,
      );
    for (const rule of ["10.1.2.3/32:5432", "192.168.0.0/16", "100.64.0.1", "[fd12::1]:443", "[fd12::/64]"])
      expect(() => attempt(rule)).toThrow(refusal("names private addresses"));
    expect(() => attempt("10.1.2.3/32:5432")).toThrow(
      expect.objectContaining({ hint: expect.stringContaining("EXECUTOR_EGRESS_OPENABLE") }),
    );
    expect(attempt("10.1.2.3/32:5432", ["10.1.0.0/16:5432"]).policy).toMatchObject({ kind: "allow" });
    expect(() => attempt("10.1.2.3/32", ["10.1.0.0/16:5432"])).toThrow(refusal('"10.1.2.3/32"'));
    expect(attempt("45.45.45.0/24").policy).toMatchObject({ kind: "allow" });
    expect(attempt("0.0.0.0/0:443").policy).toMatchObject({ kind: "allow" });
  });
});

describe("the message to the administrator about networks", () => {
  it("is empty if policies are enforced", () => {
    expect(egressWarning(options, enforcing)).toBeNull();
  });

  it("says what happens to jobs and how to change it, if policies are not enforced", () => {
    expect(egressWarning(options, weak)).toMatch(
      /run without a network.*ask for one are refused.*run the executor as root/,
    );
    expect(egressWarning({ ...options, unenforced: "none" }, weak)).toContain("also run without a network");
    expect(egressWarning({ ...options, default: "public" }, weak)).toContain(
      "each job without an egress policy is refused",
    );
  });
});

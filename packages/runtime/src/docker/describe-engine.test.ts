import { expect, it } from "vitest";
import { describeEngine } from "./describe-engine.ts";

const info = {
  NCPU: 2,
  MemoryLimit: true,
  SwapLimit: true,
  CpuCfsPeriod: true,
  CpuCfsQuota: true,
  PidsLimit: true,
  OSType: "linux",
  SecurityOptions: ["name=seccomp,profile=default", "name=rootless"],
};
const version = (runc: string) => ({
  Version: "20.10.24",
  ApiVersion: "1.41",
  Components: [{ Name: "runc", Version: runc }],
});
const notes = (runc: string, changes: Partial<typeof info> = {}) =>
  describeEngine(version(runc), { ...info, ...changes }).notes.join("\n");

it.each([
  ["1.1.5+ds1", true],
  ["1.1.11", true],
  ["1.0.20", true],
  ["1.1.12", false],
  ["1.2.0-rc.1", false],
  ["2.0.0", false],
])("warns of runc %s: %s", (runc, warned) => {
  expect(notes(runc).includes("CVE-2024-21626")).toBe(warned);
});

it("says what a weaker engine lacks", () => {
  expect(notes("1.2.0", { SwapLimit: false })).toContain("swap");
  expect(notes("1.2.0", { SecurityOptions: [] })).toMatch(/seccomp.*userns-remap/s);
  expect(describeEngine(version("1.2.0"), { ...info, PidsLimit: false }).enforces.pids).toBe(false);
});

it("enforces egress policies where the host can and the engine's bridges are in reach", () => {
  const capabilities = { public: true, allow: true, ipv6: true, notes: ["a note on egress"] };
  const near = describeEngine(version("1.2.0"), info, { egress: { capabilities, inReach: true } });
  expect(near.enforces).toMatchObject({ egressPublic: true, egressAllow: true });
  expect(near.notes).toContain("a note on egress");

  const far = describeEngine(version("1.2.0"), info, { egress: { capabilities, inReach: false } });
  expect(far.enforces).toMatchObject({ egressPublic: false, egressAllow: false });
  expect(far.notes.join()).toContain("not in the executor's network namespace");
});

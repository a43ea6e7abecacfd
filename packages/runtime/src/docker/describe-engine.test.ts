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

it("the description names the programs that the engine consists of, so that unsafe versions can be recognized", () => {
  const Components = ["Engine", "containerd", "runc", "docker-init"].map((Name) => ({ Name, Version: "1.1.5+ds1" }));

  expect(describeEngine({ ...version(""), Components }, info).components).toEqual([
    { name: "containerd", version: "1.1.5+ds1" },
    { name: "runc", version: "1.1.5+ds1" },
  ]);
});

it("the description says what a weaker engine lacks", () => {
  expect(notes("1.2.0", { SwapLimit: false })).toContain("swap");
  expect(notes("1.2.0", { SecurityOptions: [] })).toMatch(/seccomp.*userns-remap/s);
});

it("the description says which limits an engine can't enforce, and what to do", () => {
  const describe = (changes: Partial<typeof info>) => describeEngine(version("1.2.0"), { ...info, ...changes });

  expect(describe({}).limitsProblem).toBeUndefined();
  for (const [change, limit] of [
    [{ MemoryLimit: false }, "memory"],
    [{ PidsLimit: false }, "pids"],
    [{ CpuCfsQuota: false }, "cpu"],
    [{ CpuCfsPeriod: false }, "cpu"],
  ] as const) {
    const { enforces, limitsProblem, notes } = describe(change);
    expect(enforces[limit]).toBe(false);
    expect(limitsProblem).toMatch(new RegExp(`limits for ${limit}\\. Delegate .* rootless engine`));
    expect(notes).toContain(limitsProblem);
  }
  expect(describe({ PidsLimit: false, SecurityOptions: [] }).limitsProblem).toContain("on the engine's machine");
});

it("the engine enforces egress policies if the host supports them and the executor can reach its bridges", () => {
  const notes = ["a note on egress"];
  const capabilities = { public: true, allow: true, ipv6: true, notes, linkNotes: [], guestProblem: null };
  const near = describeEngine(version("1.2.0"), info, { egress: { capabilities, inReach: true } });
  expect(near.enforces).toMatchObject({ egressPublic: true, egressAllow: true });
  expect(near.notes).toContain("a note on egress");

  const far = describeEngine(version("1.2.0"), info, { egress: { capabilities, inReach: false } });
  expect(far.enforces).toMatchObject({ egressPublic: false, egressAllow: false });
  expect(far.notes.join()).toContain("not in the executor's network namespace");
});

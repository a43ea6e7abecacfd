import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type SeccompProfile, type SeccompRule, seccompProfile } from "../../../isolation/seccomp-profile.ts";
import { maxInstructions } from "./bpf-program.ts";
import { compileSeccompProfile } from "./compile-seccomp-profile.ts";
import { profileWithoutVsock } from "./guest-step-filter.ts";
import { loadLibseccomp } from "./testing/libseccomp.ts";
import { type FilteredCall, runFilter } from "./testing/run-filter.ts";
import { x86_64Calls } from "./x86-64-calls.ts";
import { x86Calls } from "./x86-calls.ts";

const x86_64 = 0xc000003e;
const x86 = 0x40000003;
const x32Bit = 0x40000000;
const [allow, killThread, permissionDenied, notImplemented] = [0x7fff0000, 0, 0x50001, 0x50026];

const tables = [
  { architecture: x86_64, calls: x86_64Calls },
  { architecture: x86, calls: x86Calls },
];

/** Calls that are newer than the oldest libseccomp on which the tests run (2.5.4). */
const newCalls = ["fchmodat2", "cachestat", "map_shadow_stack", "futex_wake", "futex_wait", "futex_requeue"];

/** x32, AArch64, ARM, RISC-V, big-endian MIPS, none, and neighbours of both tokens. */
const foreignArchitectures = [0x4000003e, 0xc00000b7, 0x40000028, 0xc00000f3, 8, 0, x86 - 1, x86_64 + 1, 0xffffffff];

/** Every number of both tables with neighbours, the same for x32, and the limits of signed and unsigned numbers. */
const numbers = [
  ...Array.from({ length: 640 }, (_, number) => [number, x32Bit + number, x32Bit - 1 - number]).flat(),
  ...[0x7fffffff, 0x80000000, 0x80000001, 0xbfffffff, 0xfffffffe, 0xffffffff],
];

const zeros = [0n, 0n, 0n, 0n, 0n, 0n];
const ones = zeros.map(() => 2n ** 64n - 1n);

/** Values at which a condition on this argument may change its result. */
function boundaries(rules: readonly SeccompRule[], name: string, index: number): bigint[] {
  const interesting = new Set<bigint>([0n]);
  for (const { names, args = [] } of rules) {
    if (!names.includes(name)) continue;
    for (const condition of args.filter((other) => other.index === index)) {
      const isMasked = condition.op === "SCMP_CMP_MASKED_EQ";
      const value = BigInt(isMasked ? (condition.valueTwo ?? 0) : condition.value);
      const mask = isMasked ? BigInt(condition.value) : 0n;
      const near = [
        value - 1n,
        value,
        value + 1n,
        value | (1n << 32n),
        value | (1n << 63n),
        value | (~mask & (2n ** 64n - 1n)),
      ];
      const flipped = isMasked ? Array.from({ length: 40 }, (_, bit) => value ^ (1n << BigInt(bit))) : [];
      for (const one of [...near, ...flipped]) interesting.add(BigInt.asUintN(64, one));
    }
  }
  return [...interesting];
}

function argumentsOf(rules: readonly SeccompRule[], name: string): bigint[][] {
  const [first = [], second = [], third = []] = [0, 1, 2].map((index) => boundaries(rules, name, index));
  return first.flatMap((a) => second.flatMap((b) => third.map((c) => [a, b, c, 0n, 0n, 0n])));
}

function expectSame(ours: Buffer, theirs: Buffer, call: FilteredCall) {
  const [action, expected] = [runFilter(ours, call).action, runFilter(theirs, call).action];
  // Only a difference builds the objects of an assertion: there are 100,000 calls.
  if (action !== expected) expect({ call, action }).toEqual({ call, action: expected });
}

const profiles: Readonly<Record<string, SeccompProfile>> = {
  "the allow-list": seccompProfile("x64"),
  "the profile that refuses only AF_VSOCK": profileWithoutVsock("x64"),
  "a profile with all actions": {
    defaultAction: "SCMP_ACT_KILL_PROCESS",
    architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
    syscalls: [
      { names: ["read", "write"], action: "SCMP_ACT_ALLOW" },
      { names: ["openat"], action: "SCMP_ACT_ERRNO" },
      { names: ["close"], action: "SCMP_ACT_LOG" },
      {
        names: ["mmap"],
        action: "SCMP_ACT_TRAP",
        args: [
          { index: 0, value: 2 ** 40, op: "SCMP_CMP_EQ" },
          { index: 2, value: 2 ** 36 + 6, valueTwo: 2 ** 36 + 4, op: "SCMP_CMP_MASKED_EQ" },
        ],
      },
    ],
  },
  "a profile of one architecture": { ...seccompProfile("x64"), architectures: ["SCMP_ARCH_X86_64"] },
};

const libseccomp = loadLibseccomp();

describe.skipIf(libseccomp === null || process.arch !== "x64")("libseccomp [needs libseccomp.so.2 on x86-64]", () => {
  it("knows all allowed calls that are not newer than itself", () => {
    const unknown = seccompProfile("x64").syscalls.flatMap(({ names }) =>
      names.filter((name) => !libseccomp?.knows(name)),
    );
    for (const name of unknown) expect(newCalls).toContain(name);
  });

  it.each(Object.entries(profiles))("decides like the compiler about %s", async (_, profile) => {
    if (!libseccomp) throw new Error("libseccomp is missing");
    // The one deliberate difference: our tables may be newer than libseccomp.
    const syscalls = profile.syscalls.map((rule) => ({ ...rule, names: rule.names.filter(libseccomp.knows) }));
    const ours = compileSeccompProfile({ ...profile, syscalls });
    const theirs = await libseccomp.compile(profile);
    for (const architecture of [x86_64, x86, ...foreignArchitectures]) {
      for (const number of numbers) {
        for (const args of [zeros, ones]) expectSame(ours, theirs, { architecture, number, args });
      }
    }
    for (const { architecture, calls } of tables) {
      for (const [name, number] of Object.entries(calls)) {
        if (!syscalls.some((rule) => rule.args && rule.names.includes(name))) continue;
        for (const args of argumentsOf(syscalls, name)) expectSame(ours, theirs, { architecture, number, args });
      }
    }
    const call = fc.record({
      architecture: fc.oneof(fc.constantFrom(x86_64, x86, ...foreignArchitectures), fc.nat(0xffffffff)),
      number: fc.oneof(fc.constantFrom(...numbers), fc.nat(0xffffffff)),
      args: fc.array(fc.oneof(fc.bigInt({ min: 0n, max: 300n }), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })), {
        minLength: 6,
        maxLength: 6,
      }),
    });
    fc.assert(
      fc.property(call, (random) => expectSame(ours, theirs, random)),
      { numRuns: 20_000 },
    );
  });
});

describe("the compiled allow-list", () => {
  const { syscalls } = seccompProfile("x64");
  const filter = compileSeccompProfile(seccompProfile("x64"));
  const decide = (architecture: number, number: number | undefined, ...args: bigint[]) =>
    runFilter(filter, { architecture, number: number ?? -2, args: [...args, ...zeros].slice(0, 6) }).action;

  it("allows calls that are newer than libseccomp", () => {
    for (const { architecture, calls } of tables) {
      for (const name of newCalls) expect([name, decide(architecture, calls[name])]).toEqual([name, allow]);
    }
  });

  it("refuses AF_VSOCK in both tables, and socketcall altogether", () => {
    for (const { architecture, calls } of tables) {
      for (const name of ["socket", "socketpair"]) {
        expect(decide(architecture, calls[name], 40n, 1n)).toBe(permissionDenied);
        expect(decide(architecture, calls[name], 40n | (1n << 32n), 1n)).toBe(permissionDenied);
      }
    }
    for (let call = 0n; call <= 21n; call++) expect(decide(x86, x86Calls.socketcall, call)).toBe(notImplemented);
  });

  it("kills threads that make x32 calls or calls of other architectures", () => {
    expect(decide(x86_64, x32Bit + 39)).toBe(killThread);
    for (const architecture of foreignArchitectures) expect(decide(architecture, 39)).toBe(killThread);
  });

  it("names only calls of a table, or of the C library's wrappers of socketcall", () => {
    const unknown = syscalls.flatMap(({ names }) => names.filter((name) => !(name in x86_64Calls || name in x86Calls)));
    expect(unknown).toEqual(["recv", "send"]);
  });

  it("has less than a quarter of the instructions that the kernel accepts", () => {
    expect(filter.length / 8).toBeLessThan(maxInstructions / 4);
  });

  it("decides about calls without conditions in at most 14 instructions", () => {
    const withConditions = new Set(syscalls.flatMap(({ names, args }) => (args ? names : [])));
    for (const { architecture, calls } of tables) {
      for (const [name, number] of Object.entries(calls)) {
        if (withConditions.has(name)) continue;
        const { instructions } = runFilter(filter, { architecture, number, args: zeros });
        expect({ name, instructions }).toSatisfy(() => instructions <= 14);
      }
    }
  });
});

describe("the compiler", () => {
  const profile: SeccompProfile = {
    defaultAction: "SCMP_ACT_ALLOW",
    architectures: ["SCMP_ARCH_X86_64"],
    syscalls: [],
  };
  const equal = { index: 0, value: 1, op: "SCMP_CMP_EQ" };
  const rule = (args: readonly (typeof equal & { valueTwo?: number })[], action = "SCMP_ACT_ERRNO") => ({
    ...profile,
    syscalls: [{ names: ["read"], action, args }],
  });

  it.each<[string, SeccompProfile]>([
    ["names no architecture", { ...profile, architectures: [] }],
    ["no table of system calls for the architecture SCMP_ARCH_S390", { ...profile, architectures: ["SCMP_ARCH_S390"] }],
    ["unsupported action SCMP_ACT_NOTIFY", { ...profile, defaultAction: "SCMP_ACT_NOTIFY" }],
    ["unsupported action SCMP_ACT_TRACE", rule([equal], "SCMP_ACT_TRACE")],
    ["unsupported comparison SCMP_CMP_GT", rule([{ ...equal, op: "SCMP_CMP_GT" }])],
    ["condition on argument 6", rule([{ ...equal, index: 6 }])],
    ["compares an argument with -1", rule([{ ...equal, value: -1 }])],
    ["compares an argument with 9007199254740992", rule([{ ...equal, valueTwo: 2 ** 53 }])],
    ["several conditions on one argument", rule([equal, { ...equal, value: 2 }])],
    [
      "different actions for the system call read",
      { ...profile, syscalls: [...rule([equal]).syscalls, ...rule([], "SCMP_ACT_TRAP").syscalls] },
    ],
  ])("refuses a profile that can't be expressed: %s", (message, wrong) => {
    expect(() => compileSeccompProfile(wrong)).toThrow(message);
    expect(() => compileSeccompProfile(wrong)).toThrow(RangeError);
  });

  it("refuses a profile whose program is longer than the kernel accepts", () => {
    const rules = (count: number) =>
      Array.from({ length: count }, (_, value) => rule([{ ...equal, value }]).syscalls).flat();
    // Four instructions per rule.
    expect(compileSeccompProfile({ ...profile, syscalls: rules(1000) }).length / 8).toBeLessThanOrEqual(
      maxInstructions,
    );
    expect(() => compileSeccompProfile({ ...profile, syscalls: rules(1024) })).toThrow(
      /has \d+ instructions, and the kernel accepts 4096/,
    );
  });
});

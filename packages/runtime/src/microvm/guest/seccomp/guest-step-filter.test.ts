import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { runProgram } from "@airlock/process";
import { temporaryDirectory } from "@airlock/test-kit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findOnSystemPath } from "../../../host/find-program.ts";
import type { GuestStep } from "../step-spec.ts";
import { bootGuest, runCollected, shell } from "../testing/boot-guest.ts";
import { type GuestParts, makeGuestParts } from "../testing/namespace-guest.ts";
import { guestStepFilter } from "./guest-step-filter.ts";
import { x86_64Calls } from "./x86-64-calls.ts";
import { x86Calls } from "./x86-calls.ts";

const signal = AbortSignal.timeout(55_000);
const [permissionDenied, notImplemented, killed] = ["1", "38", "signal 31"];

/** Arguments of `make-calls`. */
const in64 = (name: string, ...args: readonly (number | string)[]) => `64:${x86_64Calls[name]}:${args.join(",")}`;
const in32 = (name: string, ...args: readonly (number | string)[]) => `32:${x86Calls[name]}:${args.join(",")}`;
const inX32 = (name: string, ...args: readonly (number | string)[]) => `x32:${x86_64Calls[name]}:${args.join(",")}`;

const AF_VSOCK = 40;
/** CLONE_NEWUSER with SIGCHLD. */
const userNamespace = 0x10000011;

/** Ways to a socket of AF_VSOCK, with the filter's answer. */
const vsockCalls: Readonly<Record<string, string>> = {
  [in64("socket", AF_VSOCK, 1, 0)]: permissionDenied,
  // The kernel reads the lower half.
  [in64("socket", "0x100000028", 1, 0)]: permissionDenied,
  [in64("socketpair", AF_VSOCK, 1, 0, "@")]: permissionDenied,
  [in32("socket", AF_VSOCK, 1, 0)]: permissionDenied,
  [in32("socket", "0x100000028", 1, 0)]: permissionDenied,
  [in32("socketcall", 1, "@", AF_VSOCK, 1, 0)]: notImplemented,
  [in32("socketcall", "0x100000001", "@", AF_VSOCK, 1, 0)]: notImplemented,
  [in64("io_uring_setup", 1, 0)]: permissionDenied,
  [in32("io_uring_setup", 1, 0)]: permissionDenied,
  [inX32("socket", AF_VSOCK, 1, 0)]: killed,
  [inX32("getpid")]: killed,
};

/** Calls that only the allow-list refuses. Without a filter each of them works or fails with another error. */
const forbiddenCalls: Readonly<Record<string, string>> = {
  [in64("ptrace", 0)]: permissionDenied,
  [in32("ptrace", 0)]: permissionDenied,
  [in64("keyctl", 99)]: permissionDenied,
  [in32("keyctl", 99)]: permissionDenied,
  [in64("personality", 0x0040000)]: permissionDenied,
  [in32("personality", 0x0040000)]: permissionDenied,
  [in64("clone", userNamespace)]: permissionDenied,
  [in32("clone", userNamespace)]: permissionDenied,
  [in64("unshare", 0x80000000)]: permissionDenied,
  [in32("unshare", 0x80000000)]: permissionDenied,
  [in64("clone3", 0)]: notImplemented,
  [in32("clone3", 0)]: notImplemented,
  [in64("io_setup", 0)]: notImplemented,
  [in64("socket", 2, 2, 136)]: permissionDenied,
  [in32("socket", 2, 2, 136)]: permissionDenied,
  [in64("socket", "0x100000002", 2, 17)]: permissionDenied,
  [in64("socketpair", 2, 1, 0, "@")]: permissionDenied,
};

/** Calls that work with and without the allow-list. */
const allowedCalls = [
  in64("getpid"),
  in32("getpid"),
  in64("socket", 2, 2, 17),
  in32("socket", 2, 2, 17),
  in64("socket", 1, 1, 0),
  in64("socketpair", 1, 1, 0, "@"),
  in64("personality", 0xffffffff),
  in64("clone", 17),
  in32("clone", 17),
];

describe.skipIf(process.geteuid?.() !== 0 || process.arch !== "x64")("the filter of a step on x86-64", () => {
  let parts: GuestParts;
  let makeCalls: Buffer;
  beforeAll(async () => {
    [parts, makeCalls] = await Promise.all([makeGuestParts(), buildMakeCalls()]);
  });
  afterAll(async () => await parts?.[Symbol.asyncDispose]());

  /** Makes the calls in a step, and returns what each of them gave. */
  async function resultsOf(calls: readonly string[], changes: Partial<GuestStep>): Promise<Record<string, string>> {
    await using booted = await bootGuest(parts, signal);
    const file = { place: "job-files", path: Buffer.from("make-calls"), mode: 0o755, modifiedAt: undefined } as const;
    await booted.agent.putFile({ ...file, content: makeCalls }, signal);
    const script = `exec /airlock/make-calls ${calls.join(" ")}`;
    const { status, stdout } = await runCollected(booted.agent, shell(script, changes), signal);
    expect(status).toEqual({ kind: "exited", exitCode: 0 });
    const results = stdout.trimEnd().split("\n");
    expect(results).toHaveLength(calls.length);
    return Object.fromEntries(calls.map((call, index) => [call, results[index] ?? ""]));
  }

  const expected = {
    ...vsockCalls,
    ...forbiddenCalls,
    ...Object.fromEntries(allowedCalls.map((call) => [call, "ok"])),
  };
  const calls = Object.keys(expected);
  const allowList = guestStepFilter({ cpu: "x64", allowListed: true });
  const onlyVsock = guestStepFilter({ cpu: "x64", allowListed: false });

  it.each([
    { uid: 1000, noNewPrivileges: true },
    { uid: 0, noNewPrivileges: true },
    { uid: 0, noNewPrivileges: false },
  ])("refuses calls that are not listed, in every table of the kernel: %o", async (user) => {
    expect(await resultsOf(calls, { ...user, seccompFilter: allowList })).toEqual(expected);
  });

  it("refuses AF_VSOCK even if the administrator turns the allow-list off", async () => {
    expect(await resultsOf(Object.keys(vsockCalls), { seccompFilter: onlyVsock })).toEqual(vsockCalls);
  });

  it("gives answers that differ from the kernel's own", async () => {
    const withoutFilter = await resultsOf(calls, { seccompFilter: null });
    const withoutList = await resultsOf(Object.keys(forbiddenCalls), { seccompFilter: onlyVsock });
    for (const call of allowedCalls) expect([call, withoutFilter[call]]).toEqual([call, "ok"]);
    for (const [call, answer] of Object.entries(vsockCalls))
      expect([call, withoutFilter[call]]).not.toEqual([call, answer]);
    for (const [call, answer] of Object.entries(forbiddenCalls)) {
      expect([call, withoutFilter[call]]).not.toEqual([call, answer]);
      expect([call, withoutList[call]]).toEqual([call, withoutFilter[call]]);
    }
  });
});

async function buildMakeCalls(): Promise<Buffer> {
  await using directory = await temporaryDirectory();
  const compiler = await findOnSystemPath(["musl-gcc", "gcc"]);
  const source = fileURLToPath(new URL("testing/make-calls.c", import.meta.url));
  const output = join(directory.path, "make-calls");
  const built = await runProgram([compiler ?? "musl-gcc", "-D_GNU_SOURCE", "-O1", "-static", "-o", output, source], {
    signal,
  });
  expect(built).toMatchObject({ exitCode: 0, stderr: "" });
  return readFile(output);
}

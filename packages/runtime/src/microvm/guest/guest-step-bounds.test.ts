import { environmentBytes, maximumEnvironmentBytes, maximumVariableBytes, variableBytes } from "@airlock/job";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { GuestAgent } from "./guest-agent.ts";
import { methods } from "./guest-agent.ts";
import { GuestCallError } from "./guest-call-error.ts";
import { encodeStep, type GuestStep, maxSpecBytes } from "./step-spec.ts";
import { bootGuest, runCollected, shell } from "./testing/boot-guest.ts";
import { type GuestParts, makeGuestParts } from "./testing/namespace-guest.ts";

const signal = AbortSignal.timeout(55_000);

/** Variables that are together as large as the contract allows. */
function fullEnvironment(valueBytes: number): Record<string, string> {
  const env: Record<string, string> = {};
  let left = maximumEnvironmentBytes;
  for (let number = 0; ; number++) {
    const name = `V${number.toString(36)}`;
    const cost = environmentBytes([variableBytes(name, "x".repeat(valueBytes))]);
    // Too little for a further variable, so the first gets it as well.
    if (left < cost + 30) {
      env.Z = "x".repeat(left - environmentBytes([variableBytes("Z", "")]));
      return env;
    }
    env[name] = "x".repeat(valueBytes);
    left -= cost;
  }
}

const sizeOf = (env: Readonly<Record<string, string>>) =>
  environmentBytes(Object.entries(env).map(([name, value]) => variableBytes(name, value)));

/** A step whose specification has this size. */
function stepOf(bytes: number): GuestStep {
  const etc = "x".repeat(65_536);
  const files = { hosts: etc, hostname: etc, "resolv.conf": etc };
  const env: Record<string, string> = {};
  for (let number = 0; number < 27; number++) env[`V${number}`] = "x".repeat(100_000);
  const size = encodeStep(shell("true", { etc: files, env: { ...env, Z: "" } })).length;
  return shell("true", { etc: files, env: { ...env, Z: "x".repeat(bytes - size) } });
}

describe.skipIf(process.geteuid?.() !== 0)("the bounds of a step in the guest", () => {
  let parts: GuestParts;
  beforeAll(async () => {
    parts = await makeGuestParts();
  });
  afterAll(async () => await parts?.[Symbol.asyncDispose]());

  const boot = () => bootGuest(parts, signal);
  const run = (agent: GuestAgent, what: GuestStep) => runCollected(agent, what, signal);
  const failure = async (agent: GuestAgent, what: GuestStep) => {
    const error = await run(agent, what).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(GuestCallError);
    const { code, errno, message } = error as GuestCallError;
    return { code, errno, message };
  };

  it.each([
    ["few long", 131_000],
    ["many short", 0],
  ])("hold the largest environment of the contract, with %s variables, beside one of the image", async (_, length) => {
    await using booted = await boot();
    const env = fullEnvironment(length);
    expect(sizeOf(env)).toBe(maximumEnvironmentBytes);
    const imageEnv = Object.fromEntries(
      Array.from({ length: 7 }, (_value, index) => [`I${index}`, "y".repeat(130_000)]),
    );
    const all = { PATH: "/bin", ...imageEnv, ...env };
    // The shell would need a long time for so many.
    const printed = await run(booted.agent, { ...shell("", { env: all }), argv: ["/bin/env"] });
    const expected = Object.entries(all).map(([name, value]) => `${name}=${value}\n`);
    expect(printed.status).toEqual({ kind: "exited", exitCode: 0 });
    expect(printed.stdout === expected.join("")).toBe(true);
  });

  it("hold the longest variable, and tell one that is a byte longer from an image that can't start", async () => {
    await using booted = await boot();
    const env = { PATH: "/bin", BIG: "x".repeat(maximumVariableBytes - "BIG=".length) };
    const { stdout } = await run(booted.agent, shell('echo "$BIG" | wc -c', { env }));
    expect(Number(stdout)).toBe(env.BIG.length + 1);
    const longer = { ...env, BIG: `${env.BIG}x` };
    expect(await failure(booted.agent, shell("true", { env: longer }))).toMatchObject({ code: "too-large", errno: 7 });
  });

  it("are those of the specification, on both sides", async () => {
    await using booted = await boot();
    const { agent } = booted;
    expect(encodeStep(stepOf(maxSpecBytes))).toHaveLength(maxSpecBytes);
    // The agent takes it. The kernel refuses its variables.
    expect(await failure(agent, stepOf(maxSpecBytes))).toMatchObject({ code: "too-large", errno: 7 });
    await expect(run(agent, stepOf(maxSpecBytes + 1))).rejects.toThrow("specification of 3145729 bytes is too long");
    expect((await run(agent, shell("echo goes on"))).stdout).toBe("goes on\n");
    async function* upload() {
      yield encodeStep(stepOf(maxSpecBytes + 1));
    }
    const sent = agent.connection.call(Buffer.of(methods.run), { signal, stallMs: 10_000, upload: upload() });
    await expect(sent).rejects.toMatchObject({ reason: "runtime" });
    expect((await booted.guest.ended).console).toBe("airlock-agent: the specification of a step is too long\n");
  });

  it("allow 1024 supplementary groups", async () => {
    await using booted = await boot();
    const groups = Array.from({ length: 1024 }, (_, index) => 5000 + index);
    const { stdout } = await run(booted.agent, shell("id -G | wc -w; id -G", { uid: 1000, gid: 1001, groups }));
    expect(stdout).toBe(`1025\n1001 ${groups.join(" ")}\n`);
    expect(await failure(booted.agent, shell("true", { groups: [...groups, 1] }))).toMatchObject({
      code: "invalid",
      message: "the guest agent answered: a group of the step",
    });
  });

  it("tell a program that the kernel can't execute from other failures", async () => {
    await using booted = await boot();
    const { agent } = booted;
    const program = (path: string, changes: Partial<GuestStep> = {}) => ({
      ...shell("true", changes),
      argv: [path] as const,
    });
    const notExecuted = (errno: number) => ({ code: "not-executable", errno });
    expect(await failure(agent, program("/bin/missing"))).toEqual({
      ...notExecuted(2),
      message: "the guest agent answered: the step can't start: execve (error 2)",
    });
    expect(await failure(agent, program("/bin/sh/x"))).toMatchObject(notExecuted(20));
    expect(await failure(agent, program("/bin"))).toMatchObject(notExecuted(13));
    await run(
      agent,
      shell("echo text > text; chmod 755 text; ln -s loop loop; echo '#!/bin/missing' > script; chmod 700 script"),
    );
    expect(await failure(agent, program("/data/text"))).toMatchObject(notExecuted(8));
    expect(await failure(agent, program("/data/loop"))).toMatchObject(notExecuted(40));
    expect(await failure(agent, program("/data/script"))).toMatchObject(notExecuted(2));
    // A limit that the kernel refuses is no fault of the image.
    const limits = [{ resource: 7, soft: 2n ** 40n, hard: 2n ** 40n }];
    expect(await failure(agent, shell("true", { limits }))).toEqual({
      code: "system",
      errno: 1,
      message: "the guest agent answered: the step can't start: resource limit (error 1)",
    });
    expect((await run(agent, shell("echo goes on"))).stdout).toBe("goes on\n");
  });
});

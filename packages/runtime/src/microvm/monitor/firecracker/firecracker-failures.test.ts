import { once } from "node:events";
import { readdir, writeFile } from "node:fs/promises";
import { totalmem } from "node:os";
import { join } from "node:path";
import { outputOf } from "@airlock/process";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { VmPlan } from "../vm-monitor.ts";
import { FirecrackerMonitor } from "./firecracker-monitor.ts";
import type { FirecrackerOptions } from "./firecracker-options.ts";
import { type FirecrackerWorld, makeFirecrackerWorld } from "./testing/firecracker-world.ts";

describe.skipIf(process.geteuid?.() !== 0)("a machine that Firecracker (stand-in) can't run", () => {
  let world: FirecrackerWorld;
  beforeAll(async () => {
    world = await makeFirecrackerWorld("stand-in");
  });
  afterAll(async () => await world?.[Symbol.asyncDispose]());

  const signal = AbortSignal.timeout(110_000);
  const boot = (plan: VmPlan, options: Partial<FirecrackerOptions> = {}) =>
    new FirecrackerMonitor({ ...world.options, ...options }).boot(plan, { signal });

  const refusals: readonly [string, Partial<VmPlan>, Partial<FirecrackerOptions>, string][] = [
    ["half a processor", { cpus: 0.5 }, {}, "has 0.5 processors"],
    ["27 disks", { disks: Array(27).fill(null) }, {}, "has 27 disks, more than 26"],
    ["part of a MiB", { memoryBytes: 2 ** 27 + 1 }, {}, "a whole number of MiB"],
    ["more memory than the host", { memoryBytes: Math.ceil(totalmem() / 2 ** 20 + 1) * 2 ** 20 }, {}, "of memory, but"],
    ["no bandwidth", {}, { bandwidth: { ingress: 0, egress: 1 } }, "its ingress bandwidth must"],
    ["a long command line", {}, { bootArgs: "x".repeat(2048) }, "must have fewer than 2048 bytes"],
    ["a long directory", { dir: `/tmp/${"d".repeat(100)}` }, {}, "has a directory longer than 90 bytes"],
  ];
  it.for(refusals)("refuses %s before Firecracker starts", async ([, changes, options, message]) => {
    const plan = await world.plan(changes);
    await expect(boot(plan, options)).rejects.toThrow(message);
  });

  it("refuses a tap that does not exist, which Firecracker would create", async () => {
    const namespace = "/proc/self/ns/net";
    const network = { namespace, tap: "no-such-tap", macAddress: "02:00:00:00:00:01" };
    await expect(boot(await world.plan({ network }))).rejects.toThrow('has no tap "no-such-tap"');
    await expect(boot(await world.plan({ network: { ...network, tap: "lo" } }))).rejects.toThrow('"lo" in the network');
  });

  it("reports a kernel that Firecracker refuses only at the start", async () => {
    const kernel = join(world.directory, "bad-kernel");
    await writeFile(kernel, "not a kernel");
    const plan = await world.plan();
    const failed = boot({ ...plan, guest: { ...plan.guest, kernel } });
    await expect(failed).rejects.toThrow("refused PUT /actions with status 400: Cannot load kernel");
    expect(await readdir(plan.dir)).toEqual([]);
  });

  it("reports a file that is missing", async () => {
    const plan = await world.plan({ disks: [{ path: join(world.directory, "missing"), readOnly: true }] });
    await expect(boot(plan)).rejects.toThrow("missing can't be read");
    expect(await readdir(plan.dir)).toEqual([]);
  });

  it("reports a guest that panics, with the end of its console", async () => {
    const plan = await world.plan({ guestKind: { kind: "panic" } });
    const failed = boot(plan, { console: "serial" });
    await expect(failed).rejects.toThrow(
      /Firecracker has ended with exit code 1; its console ends with:[\s\S]*Kernel panic/,
    );
    expect(await readdir(plan.dir)).toEqual([]);
  });

  it("reports a guest that powers off at once", async () => {
    await expect(boot(await world.plan({ guestKind: { kind: "halt" } }))).rejects.toThrow("has ended with exit code 0");
  });

  it("gives up a guest whose agent does not connect in time", async () => {
    const plan = await world.plan({ guestKind: { kind: "silent" }, bootMs: 1500 });
    await expect(boot(plan)).rejects.toThrow("agent did not connect within 1.5s");
    expect(await readdir(plan.dir)).toEqual([]);
  });

  it("keeps 16 KiB of a console, without control sequences", async () => {
    const plan = await world.plan({ guestKind: { kind: "flood" }, bootMs: 3000 });
    const failure = await boot(plan, { console: "serial" }).catch((error: Error) => error);
    expect(failure).toBeInstanceOf(Error);
    expect((failure as Error).message).toMatch(/\?\[31mflood/);
    expect((failure as Error).message.length).toBeLessThan(2500);
  });

  it("takes one connection of a guest and no second one", async () => {
    const plan = await world.plan({ guestKind: { kind: "twice" } });
    await using vm = await boot(plan, { console: "serial" });
    const [bytes] = await once(vm.stream, "data");
    expect(String(bytes)).toMatch(/^connection [12]$/);
    expect((await readdir(join(plan.dir, "root"))).includes("v_1000")).toBe(false);
  });

  it("rejects with the reason of an abort, and leaves nothing behind", async () => {
    const plan = await world.plan({ guestKind: { kind: "silent" } });
    const abort = new AbortController();
    const booting = new FirecrackerMonitor(world.options).boot(plan, { signal: abort.signal });
    setTimeout(() => abort.abort(new Error("the job was canceled")), 700);
    await expect(booting).rejects.toThrow("the job was canceled");
    expect(await readdir(plan.dir)).toEqual([]);
  });

  it("notices that its monitor was killed, and disposes of it twice", async () => {
    const plan = await world.plan();
    const vm = await boot(plan);
    const pids = await outputOf(["pgrep", "-f", "--", `--id ${plan.id} --api-sock`]);
    for (const pid of pids.trim().split("\n")) process.kill(Number(pid), "SIGKILL");
    expect(await vm.ended).toMatchObject({ exitCode: null });
    await vm[Symbol.asyncDispose]();
    await vm[Symbol.asyncDispose]();
    expect(await readdir(plan.dir)).toEqual([]);
  });

  it("reports a program that is not Firecracker", async () => {
    await expect(boot(await world.plan(), { program: "/bin/true" })).rejects.toThrow("has ended with exit code 0");
    const version = new FirecrackerMonitor({ ...world.options, program: "/bin/true" }).version({ signal });
    await expect(version).rejects.toThrow("/bin/true is not Firecracker");
  });
});

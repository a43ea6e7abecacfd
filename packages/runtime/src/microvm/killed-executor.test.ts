import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readlinkSync } from "node:fs";
import { chmod, glob, readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { busyboxImage, describeWithEngines, dockerArchive, temporaryDirectory } from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { ownerNames } from "../egress/host/names.ts";
import { openEgressSandbox } from "../egress/testing/egress-sandbox.ts";
import { startTestNetwork, type TestNetwork } from "../egress/testing/test-network.ts";
import { findCgroupHost } from "../host/cgroups/cgroup-host.ts";
import { errorCode } from "../host/error-code.ts";
import { type OpenMicrovmOptions, openMicrovmRuntime } from "./open-microvm-runtime.ts";
import type { KilledOrder } from "./testing/killed-order.ts";
import { emulation, testGuest } from "./testing/test-guest.ts";

const program = fileURLToPath(new URL("testing/killed-main.ts", import.meta.url));
const { signal } = new AbortController();
const owner = `killed-${process.pid}`;
const otherOwner = `other-${owner}`;
const { namespacePrefix } = ownerNames(owner);
const image = "killed:1";
const testMs = 120_000;

// The tests follow each other: each executor finds what the killed one before it has left.
describeWithEngines(["microvm", "network"], "an executor with virtual machines that is killed", () => {
  const cleanup = new AsyncDisposableStack();
  let network: TestNetwork;
  let stateDir: string;
  let options: OpenMicrovmOptions;
  let jobs = 0;

  beforeAll(async () => {
    network = cleanup.use(await startTestNetwork());
    const directory = cleanup.use(await temporaryDirectory("vm-")).path;
    await chmod(directory, 0o711);
    stateDir = join(directory, "s");
    options = {
      stateDir,
      guestDir: dirname((await testGuest()).kernel),
      monitor: emulation(),
      choice: "installed",
      egress: { networkNamespace: network.hostPath, upstreams: [] },
    };
    const archive = join(directory, "image.tar");
    await writeFile(archive, await dockerArchive(await busyboxImage(), image));
    const runtime = await openMicrovmRuntime(options);
    await runtime.loadImages(archive, { signal });
    await runtime.close();
  }, testMs);
  afterAll(async () => {
    // Also collects what a failed test left.
    const runtime = await openMicrovmRuntime(options);
    for (const each of [owner, otherOwner]) await runtime.collect({ owner: each, keep: new Set(), signal });
    await runtime.close();
    await cleanup.disposeAsync();
  }, testMs);

  function startExecutor(what: KilledOrder["what"]): ChildProcess {
    jobs += 1;
    const order: KilledOrder = { what, id: `job-${jobs}`, owner, image, options };
    return spawn(process.execPath, [program, JSON.stringify(order)], { stdio: ["ignore", "pipe", "inherit"] });
  }

  /** Kills the executor as soon as the condition holds. */
  async function killWhen(executor: ChildProcess, holds: () => Promise<boolean>): Promise<void> {
    const exited = once(executor, "exit");
    await vi.waitUntil(holds, { timeout: testMs, interval: 1 });
    executor.kill("SIGKILL");
    expect((await exited)[1]).toBe("SIGKILL");
  }

  async function killInStep(): Promise<void> {
    const executor = startExecutor("job");
    const ready = once(executor.stdout ?? expect.unreachable(), "data");
    await killWhen(executor, async () => String((await ready)[0]) === "ready\n");
  }

  async function found(pattern: string): Promise<readonly string[]> {
    const paths: string[] = [];
    for await (const path of glob(pattern, { cwd: stateDir })) paths.push(path);
    return paths;
  }

  /** What is on this machine of the owner's machines. */
  async function leftovers(): Promise<readonly string[]> {
    const complete = new Set((await found("snapshots/*/snapshot.json")).map(dirname));
    const links = await network.onHost("ip", "link", "show");
    return [
      ...(await machines()),
      ...(await found("{image-disks,images}/tmp/*")),
      ...(await found("snapshots/{.*,*}")).filter((snapshot) => !complete.has(snapshot)),
      ...(await readFile("/proc/self/mountinfo", "utf8")).split("\n").filter((line) => line.includes(stateDir)),
      ...(await readdir("/run/netns")).filter((name) => name.startsWith(namespacePrefix)),
      ...links.split("\n").filter((line) => line.includes("airlock:job-")),
      ...processes(),
    ];
  }

  /** Cgroups and directories of machines. */
  async function machines(): Promise<readonly string[]> {
    return [...(await (await findCgroupHost()).list(owner)), ...(await found("vms/*/*"))];
  }

  /** Processes that have files of the state directory open. */
  function processes(): readonly string[] {
    const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid);
    return pids.filter((pid) => openFiles(pid).some((path) => path.startsWith(stateDir)));
  }

  async function expectNextStartToCollect(): Promise<void> {
    const runtime = await openMicrovmRuntime(options);
    try {
      await runtime.collect({ owner, keep: new Set(), signal });
      expect(await leftovers()).toEqual([]);
    } finally {
      await runtime.close();
    }
  }

  it.each([
    ["boots a machine", "vms/*/*/empty"],
    ["makes the disk of an image", "image-disks/tmp/*"],
    ["writes a snapshot", "{snapshots/.tmp-*,vms/*/*}/state"],
  ])(
    "while it %s leaves nothing after the next start",
    async (_what, pattern) => {
      await killWhen(startExecutor("job"), async () => (await found(pattern)).length > 0);
      expect(await leftovers()).not.toEqual([]);
      await expectNextStartToCollect();
    },
    testMs,
  );

  it(
    "in a step, and again while it collects, leaves nothing after the next start",
    async () => {
      await killInStep();
      await vi.waitFor(() => expect(processes()).toEqual([]), { timeout: 10_000 });
      const before = await machines();
      expect(before).not.toEqual([]);
      await killWhen(startExecutor("collect"), async () => (await machines()).length < before.length);
      await expectNextStartToCollect();
    },
    testMs,
  );

  it(
    "has a successor whose jobs run, beside another executor's job of the same name in the same directory",
    async () => {
      const runtime = await openMicrovmRuntime(options);
      try {
        const limits = { cpus: 1, memoryBytes: 128 * 2 ** 20, pids: 64, diskBytes: 64 * 2 ** 20 };
        const plan = { id: "job-last", owner, limits, image, egress: { kind: "public" } } as const;
        await using sandbox = await openEgressSandbox(runtime, plan);
        await using other = await openEgressSandbox(runtime, { ...plan, owner: otherOwner });
        expect(await sandbox.run("echo one >file; cat file")).toBe("one\n");
        const collected = await runtime.collect({ owner, keep: new Set(), signal });
        expect(collected.sandboxes).toBe(1);
        expect(await other.run("cat file; echo other")).toMatch(/^cat: .*No such file.*\nother\n$/);
        await expect(sandbox.run("true")).rejects.toThrow("the job's virtual machine ended");
      } finally {
        await runtime.close();
      }
      expect(await leftovers()).toEqual([]);
    },
    testMs,
  );
});

/** Targets of a process's descriptors. */
function openFiles(pid: string): readonly string[] {
  const directory = `/proc/${pid}/fd`;
  const read = <T>(work: () => T, otherwise: T): T => {
    try {
      return work();
    } catch (error) {
      // The process has ended, closed the descriptor, or belongs to a container around this one.
      if (["ENOENT", "ESRCH", "EACCES"].includes(errorCode(error) ?? "")) return otherwise;
      throw error;
    }
  };
  const names = read(() => readdirSync(directory), []);
  return names.map((name) => read(() => readlinkSync(join(directory, name)), ""));
}

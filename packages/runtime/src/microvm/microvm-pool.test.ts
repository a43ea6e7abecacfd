import { execFile } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { busyboxImage, describeWithEngines, dockerArchive, openWorkplace, temporaryDirectory } from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import type { ReadySandboxes } from "../contract/index.ts";
import { findCgroupHost } from "../host/cgroups/cgroup-host.ts";
import type { MicrovmRuntime } from "./microvm-runtime.ts";
import { openMicrovmRuntime } from "./open-microvm-runtime.ts";
import { emulation, testGuest } from "./testing/test-guest.ts";

const run = promisify(execFile);
const { signal } = new AbortController();
const owner = `pool-${process.pid}`;
const image = "fixtures/shell:1";
const limits = { cpus: 1, memoryBytes: 64 * 2 ** 20, pids: 64, diskBytes: 64 * 2 ** 20 };
const like = { limits, egress: { kind: "none" } } as const;
const machineMs = 240_000;

async function pidOf(id: string): Promise<number> {
  const { stdout } = await run("pgrep", ["-f", `^[^ ]*qemu-system.* guest=${id} `]);
  return Number(stdout.trim());
}

describeWithEngines(["microvm"], "virtual machines that wait for jobs", () => {
  const cleanup = new AsyncDisposableStack();
  let directory: string;
  let runtime: MicrovmRuntime;
  let ready: ReadySandboxes;
  const problems: string[] = [];
  /** Ids of the jobs' sandboxes. */
  const jobs = new Set<string>();

  const open = async () =>
    await openMicrovmRuntime({
      stateDir: join(directory, "s"),
      guestDir: dirname((await testGuest()).kernel),
      monitor: emulation(),
      choice: "installed",
      onProblem: (problem) => void problems.push(String(problem)),
    });
  const untilReady = () => vi.waitFor(() => expect(ready.counts.ready).toBe(2), { timeout: machineMs, interval: 50 });
  /** Names of the machines that wait for jobs, or waited for jobs that run. */
  const waiting = async () => {
    const machines = await (await findCgroupHost()).list(owner);
    return new Set([...machines].filter((name) => name.includes("-ready-")));
  };
  const openPlace = async (id: string, checkout: string | null = null) => {
    jobs.add(id);
    return await openWorkplace(runtime, { id, owner, limits, image, workspace: { checkout } });
  };

  beforeAll(async () => {
    directory = cleanup.use(await temporaryDirectory("vm-")).path;
    runtime = await open();
    cleanup.defer(() => runtime.close());
    const archive = join(directory, "image.tar");
    await writeFile(archive, await dockerArchive(await busyboxImage(), image));
    await runtime.loadImages(archive, { signal });
    ready = runtime.keepReady?.({ owner, count: 2, like }) ?? expect.unreachable();
    await untilReady();
  }, machineMs);
  afterAll(() => cleanup.disposeAsync());

  it(
    "never share random numbers, have the host's time, and get the checkouts of their jobs",
    async () => {
      const checkouts = await Promise.all(
        ["one", "other"].map(async (name) => {
          await mkdir(join(directory, name));
          await writeFile(join(directory, name, "name"), name);
          return join(directory, name);
        }),
      );
      const before = Date.now() / 1000;
      await using one = await openPlace("one", checkouts[0]);
      await using other = await openPlace("other", checkouts[1]);
      expect(ready.counts).toMatchObject({ hits: 2, misses: 0 });
      const script =
        "head -c 32 /dev/urandom | od -An -tx1 -v | tr -d ' \\n'; echo; date +%s; cat name; echo more >>name";
      const printed = await Promise.all([one.run(script), other.run(script)]);
      const after = Date.now() / 1000;
      const lines = printed.map(({ stdout }) => stdout.split("\n"));
      expect(lines.map(([, , name]) => name)).toEqual(["one", "other"]);
      const numbers = new Set(lines.map(([random]) => random));
      expect([numbers.size, ...numbers]).toEqual([
        2,
        expect.stringMatching(/^[0-9a-f]{64}$/),
        expect.stringMatching(/^[0-9a-f]{64}$/),
      ]);
      for (const [, time] of lines) {
        expect(Number(time)).toBeGreaterThan(before - 2);
        expect(Number(time)).toBeLessThan(after + 2);
      }
      expect(await one.read("name")).toBe("onemore\n");
      await untilReady();
      await using third = await openPlace("third");
      expect(await third.list()).toEqual([]);
      expect(ready.counts.hits).toBe(3);
    },
    machineMs,
  );

  it(
    "survive a collection of their own executor, and are replaced when another process ends them",
    async () => {
      await untilReady();
      const first = await waiting();
      await runtime.collect({ owner, keep: jobs, signal });
      expect([first.size, await waiting()]).toEqual([2, first]);
      const successor = await open();
      try {
        const { details } = await successor.collect({ owner, keep: jobs, signal });
        for (const id of first) expect(details).toContain(`virtual machine ${id}: ended, cgroup removed`);
      } finally {
        await successor.close();
      }
      await vi.waitFor(() => expect(problems.length).toBeGreaterThanOrEqual(2), { timeout: machineMs });
      await untilReady();
      expect((await waiting()).intersection(first).size).toBe(0);
      await using place = await openPlace("after");
      expect((await place.run("echo alive")).stdout).toBe("alive\n");
    },
    machineMs,
  );

  it(
    "leave their job to start a machine of its own if they don't answer, and end with the pool",
    async () => {
      await untilReady();
      const { misses } = ready.counts;
      for (const id of await waiting()) process.kill(await pidOf(id), "SIGSTOP");
      problems.length = 0;
      await using place = await openPlace("stuck");
      expect((await place.run("echo alive")).stdout).toBe("alive\n");
      expect(ready.counts.misses).toBe(misses + 1);
      expect(problems).toEqual([expect.stringContaining("did not wake within 5000 ms")]);
      await ready[Symbol.asyncDispose]();
      expect([ready.counts.ready, await waiting()]).toEqual([0, new Set()]);
    },
    machineMs,
  );
});

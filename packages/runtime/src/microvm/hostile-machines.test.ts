import { execFile } from "node:child_process";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { busyboxImage, describeWithEngines, dockerArchive, temporaryDirectory } from "@airlock/test-kit";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import type { Sandbox } from "../contract/index.ts";
import { findCgroupHost } from "../host/cgroups/cgroup-host.ts";
import { createMicrovmRuntime, type MicrovmRuntime } from "./microvm-runtime.ts";
import { sabotagedInitrd } from "./testing/hostile-initrd.ts";
import { testGuest, testQemuMonitor } from "./testing/test-guest.ts";

const run = promisify(execFile);
const { signal } = new AbortController();
const mebibyte = 2 ** 20;
const image = "fixture:1";
const owner = `hostile-${process.pid}`;
const testMs = 120_000;

// Each job's machine has the real agent, and beside it a program of root that does what a step's arguments ask for.
describeWithEngines(["microvm"], "a job whose machine", () => {
  const cleanup = new AsyncDisposableStack();
  let directory: string;
  let runtime: MicrovmRuntime;
  let jobs = 0;

  const open = async (stateDir: string): Promise<MicrovmRuntime> => {
    const { kernel, initrd } = await testGuest();
    const monitor = await testQemuMonitor({ owner });
    return await createMicrovmRuntime({
      stateDir,
      guest: { kernel, initrd: await sabotagedInitrd(initrd, join(directory, "hostile.cpio")) },
      monitorFor: (name) => monitor.of(name),
      cgroupHost: await findCgroupHost(),
    });
  };

  beforeAll(async () => {
    directory = cleanup.use(await temporaryDirectory("vm-")).path;
    runtime = await open(join(directory, "s"));
    cleanup.defer(() => runtime.close());
    const archive = join(directory, "image.tar");
    await writeFile(archive, await dockerArchive(await busyboxImage(), image));
    await runtime.loadImages(archive, { signal });
  }, testMs);
  afterAll(() => cleanup.disposeAsync());
  afterEach(async () => {
    expect(await leftovers()).toEqual([]);
  });

  /** What machines of this file's owner have left, beside one that is being copied in the background. */
  async function leftovers(): Promise<readonly string[]> {
    const cgroups = await (await findCgroupHost()).list(owner);
    return [...cgroups].filter((id) => !id.startsWith("executor-snapshot-"));
  }

  async function openSandbox(of = runtime): Promise<Sandbox> {
    jobs += 1;
    const limits = { cpus: 1, memoryBytes: 128 * mebibyte, pids: 64, diskBytes: 64 * mebibyte };
    const workspace = { checkout: null, files: [], readOnlyFiles: [] };
    const egress = { kind: "none" } as const;
    return await of.createSandbox({ id: `job-${jobs}`, owner, workspace, limits, egress }, { signal });
  }

  function start(sandbox: Sandbox, script: string, { onOutput = (_: string) => {} } = {}) {
    const files = [{ path: "script", content: script, executable: true }];
    return sandbox.runStep(
      { key: "step", image, files, script: "/airlock/script", workingDirectory: "/data", env: {} },
      { signal, output: async (_, bytes) => onOutput(bytes.toString()) },
    );
  }
  const sabotage = (what: string) => `echo started; sh -c 'sleep 600; : sabotage-${what}'`;
  const pidOfJob = async () => {
    const { stdout } = await run("pgrep", ["-f", `^[^ ]*qemu-system.* guest=executor-job-${jobs} `]);
    return Number(stdout.trim());
  };

  it(
    "panics in the middle of a step errors for a reason of the runtime, with the kernel's last words",
    async () => {
      await using sandbox = await openSandbox();
      await expect(start(sandbox, sabotage("panic"))).rejects.toMatchObject({
        reason: "runtime",
        message: expect.stringMatching(/^the job's virtual machine ended: [\s\S]*Kernel panic - not syncing/),
      });
      await expect(start(sandbox, "true")).rejects.toMatchObject({ reason: "runtime" });
    },
    testMs,
  );

  it(
    "is killed from outside errors for a reason of the runtime that says so",
    async () => {
      await using sandbox = await openSandbox();
      const onOutput = async () => process.kill(await pidOfJob(), "SIGKILL");
      await expect(start(sandbox, "echo started; sleep 600", { onOutput })).rejects.toMatchObject({
        reason: "runtime",
        message: expect.stringContaining("the job's virtual machine ended: QEMU was killed (SIGKILL)"),
      });
    },
    testMs,
  );

  it(
    "has an agent that hangs ends with its sandbox",
    async () => {
      const sandbox = await openSandbox();
      const started = Promise.withResolvers<void>();
      const running = start(sandbox, sabotage("hang"), { onOutput: () => started.resolve() });
      await Promise.race([started.promise, running]);
      await sandbox[Symbol.asyncDispose]();
      await expect(running).rejects.toThrow("the sandbox is disposed");
    },
    testMs,
  );

  it(
    "floods its console goes on, and neither the executor's memory nor its disk grows",
    async () => {
      await using sandbox = await openSandbox();
      await start(sandbox, "true");
      const before = process.memoryUsage().rss;
      const script = "sh -c 'sleep 5; : sabotage-flood' & sleep 5; echo alive";
      let printed = "";
      const status = await start(sandbox, script, {
        onOutput: (text) => {
          printed += text;
        },
      });
      expect([status.kind, printed]).toEqual(["exited", "alive\n"]);
      expect(process.memoryUsage().rss - before).toBeLessThan(64 * mebibyte);
      expect(await readdir(join(directory, "s"))).toEqual(["image-disks", "images", "snapshots", "vms"]);
    },
    testMs,
  );

  it(
    "gets no more space on the host's disk errors for a reason of the runtime that names it",
    async () => {
      const small = join(directory, "f");
      await mkdir(small);
      await run("mount", ["-t", "tmpfs", "-o", "size=48m,mode=0711", "tmpfs", small]);
      await using mounted = new AsyncDisposableStack();
      mounted.defer(async () => void (await run("umount", ["-l", small])));
      const full = await open(join(small, "s"));
      mounted.defer(() => full.close());
      const archive = join(directory, "image.tar");
      await full.loadImages(archive, { signal });
      await using sandbox = await openSandbox(full);
      await expect(
        start(sandbox, "echo started; dd if=/dev/urandom of=big bs=1M; sync; sleep 600"),
      ).rejects.toMatchObject({
        reason: "runtime",
        message: expect.stringMatching(/a disk of the machine failed on its host: No space left on device/),
      });
    },
    testMs,
  );
});

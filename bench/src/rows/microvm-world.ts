import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import type { ReadySandboxes, Sandbox, SandboxLimits } from "@airlock/runtime";
import { buildGuestFiles, type MicrovmRuntime, openMicrovmRuntime } from "@airlock/runtime/microvm";
import { busyboxImage, dockerArchive, startEngines, temporaryDirectory } from "@airlock/test-kit";
import { runEcho } from "./sandbox-subjects.ts";

const { signal } = new AbortController();
export const image = "airlock-bench:latest";
export const limits: SandboxLimits = { cpus: 1, memoryBytes: 256 * 2 ** 20, pids: 64, diskBytes: 2 ** 30 };
/** Memory of a machine for {@link limits}: the guest's kernel needs 128 MiB. */
export const machineBytes = limits.memoryBytes + 128 * 2 ** 20;
export const egress = { kind: "none" } as const;
/** Kept across runs, because the guest's kernel has to be downloaded. */
const guestDir = fileURLToPath(new URL("../../../node_modules/.cache/airlock-guest/", import.meta.url));

export interface MicrovmWorld extends AsyncDisposable {
  readonly directory: string;
  readonly qemu: string;
  readonly guestDir: string;
  readonly kernel: string;
  readonly owner: string;
  /** Opens a runtime with its own images and snapshots, which has the image {@link image}. */
  open(name: string): Promise<MicrovmRuntime>;
  createSandbox(runtime: MicrovmRuntime): Promise<Sandbox>;
}

export async function openMicrovmWorld(): Promise<MicrovmWorld> {
  await using cleanup = new AsyncDisposableStack();
  const { engines } = cleanup.use(await startEngines(["microvm"]));
  if (!engines.microvm) throw new Error(`this row needs QEMU: ${engines.missing.microvm}`);
  const { qemuPath } = engines.microvm;
  const directory = cleanup.use(await temporaryDirectory("vm-"));
  const { kernel } = await buildGuestFiles({ directory: guestDir, signal });
  const archive = path.join(directory.path, "image.tar");
  await writeFile(archive, await dockerArchive(await busyboxImage(), image));
  const owner = `bench-${randomBytes(4).toString("hex")}`;
  const owned = cleanup.move();
  return {
    directory: directory.path,
    qemu: qemuPath,
    guestDir,
    kernel,
    owner,
    async open(name) {
      const stateDir = path.join(directory.path, name);
      const fail = (problem: unknown) => process.stderr.write(`${problem}\n`);
      const monitor = { monitor: "qemu", accelerator: "tcg", qemuPath } as const;
      const runtime = await openMicrovmRuntime({ stateDir, guestDir, monitor, choice: "installed", onProblem: fail });
      await runtime.loadImages(archive, { signal });
      return runtime;
    },
    createSandbox: (runtime) =>
      runtime.createSandbox(
        {
          id: `bench-${randomBytes(6).toString("hex")}`,
          owner,
          workspace: { checkout: null, files: [], readOnlyFiles: [] },
          limits,
          egress,
        },
        { signal },
      ),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Prepares the image and runs a step. */
export async function runStep(sandbox: Sandbox): Promise<void> {
  await sandbox.prepareImage(image, { signal, progress: () => {} });
  await runEcho(sandbox, image);
}

/** Waits until so many machines wait for jobs, outside of any measurement. */
export async function untilReady(ready: ReadySandboxes, count: number): Promise<void> {
  while (ready.counts.ready < count) await new Promise((resolve) => setTimeout(resolve, 50));
}

/** Process ids of the owner's machines. */
export function machinesOf(owner: string): readonly number[] {
  const found = execFileSync("pgrep", ["-f", "^[^ ]*qemu-system.* guest="]).toString().trim().split("\n");
  const isOurs = (pid: string) => readFileSync(`/proc/${pid}/cgroup`, "utf8").includes(`/airlock/${owner}/`);
  return found.filter(isOurs).map(Number);
}

/** Proportional set size of a process, in MB. */
export function pssOf(pid: number): number {
  const [, kilobytes] = /^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8")) ?? [];
  return (Number(kilobytes) * 1024) / 1e6;
}

import { constants } from "node:fs";
import { access, mkdir, stat } from "node:fs/promises";
import { AirlockError } from "@airlock/job";
import { runtimeFailed } from "../contract/index.ts";
import { findCgroupHost } from "../host/cgroups/cgroup-host.ts";
import { findOnSystemPath } from "../host/find-program.ts";
import { defaultIds, type IdRange, isUnmapped, sharedIds } from "../host/id-range.ts";
import { idsLockFile } from "../host/id-ranges.ts";
import { dockerNotInstalled, openDockerDisk } from "./docker/docker-disk.ts";
import { type BuiltGuest, openGuestFiles } from "./guest/build/build-guest-files.ts";
import { createMicrovmRuntime, type MicrovmRuntime, type MicrovmRuntimeOptions } from "./microvm-runtime.ts";
import { openQemuMonitor } from "./monitor/qemu/open-qemu-monitor.ts";
import type { VmMonitor } from "./monitor/vm-monitor.ts";

export interface OpenMicrovmOptions
  extends Pick<
    MicrovmRuntimeOptions,
    "stateDir" | "registry" | "imageLimits" | "images" | "hardening" | "egress" | "bandwidth" | "onProblem"
  > {
  /** The directory with the guest's files. They are only checked here, never built. */
  readonly guestDir: string;
  /** Absolute path of `qemu-system-x86_64`. Default: the one on the system's search path. */
  readonly qemuPath?: string;
  /** Host ids of the users of machines. Default: {@link defaultIds}, or {@link sharedIds} where those don't exist. */
  readonly ids?: IdRange;
}

/** As `MicrovmRuntimeOptions.stateDir` says. */
const maxStateDirBytes = 55;
const dockerCheckMs = 60_000;
const installHint = "Run as root: executor install microvm";
const otherPrograms = [
  ["setpriv", "util-linux"],
  ["unshare", "util-linux"],
  ["mke2fs", "e2fsprogs"],
] as const;
const emulationNote =
  "Virtual machines are emulated by QEMU (accelerator tcg), because this executor can't use KVM yet. Steps run many times slower than in a container.";

/**
 * Opens the microVM runtime of this machine.
 * @throws {AirlockError} reason `runtime` when this machine, its user, a program or the guest's files don't suffice.
 */
export async function openMicrovmRuntime(options: OpenMicrovmOptions): Promise<MicrovmRuntime> {
  if (process.platform !== "linux" || process.arch !== "x64") {
    const hint = "Use EXECUTOR_RUNTIME=docker or oci on this machine.";
    throw runtimeFailed(
      `the runtime microvm needs linux/x64, not ${process.platform}/${process.arch}`,
      undefined,
      hint,
    );
  }
  if (process.geteuid?.() !== 0) {
    const hint = "Run the executor as root, or use EXECUTOR_RUNTIME=docker or oci.";
    throw runtimeFailed(
      "the runtime microvm needs root, because each virtual machine gets its own user and cgroup",
      undefined,
      hint,
    );
  }
  if (Buffer.byteLength(options.stateDir) > maxStateDirBytes) {
    throw runtimeFailed(
      `the path ${options.stateDir} is longer than ${maxStateDirBytes} bytes, too long for sockets of virtual machines`,
      undefined,
      "Set EXECUTOR_DATA_DIR to a directory with a shorter path.",
    );
  }
  const program = await findQemu(options.qemuPath);
  for (const [name, debianPackage] of otherPrograms) {
    if ((await findOnSystemPath([name])) === undefined) {
      throw runtimeFailed(`${name} (package ${debianPackage}) is not installed`, undefined, installHint);
    }
  }
  const guest = await openGuestFiles(options.guestDir);
  const docker = await findDocker(options.guestDir, guest, options.stateDir);
  const cgroupHost = await findCgroupHost();
  const ids = options.ids ?? ((await isUnmapped(defaultIds)) ? sharedIds : defaultIds);
  const monitor = await openQemuMonitor({ program, owner: "executor", ids, lockFile: idsLockFile, cgroupHost });
  const monitors = new Map<string, VmMonitor>();
  const monitorFor = (owner: string): VmMonitor => {
    const known = monitors.get(owner) ?? monitor.of(owner);
    monitors.set(owner, known);
    return known;
  };
  const { problem } = cgroupHost;
  const notes = problem === null ? [emulationNote] : [emulationNote, `QEMU itself runs without limits. ${problem}`];
  return await createMicrovmRuntime({ ...options, guest, docker, monitorFor, cgroupHost, notes });
}

/** Jobs without Docker run even if its disk is unusable. */
async function findDocker(
  directory: string,
  guest: BuiltGuest,
  stateDir: string,
): Promise<NonNullable<MicrovmRuntimeOptions["docker"]>> {
  try {
    const disk = await openDockerDisk(directory, guest, { signal: AbortSignal.timeout(dockerCheckMs) });
    if (!disk) return { problem: dockerNotInstalled };
    await mkdir(stateDir, { recursive: true, mode: 0o700 });
    if ((await stat(disk.path)).dev === (await stat(stateDir)).dev) return disk;
    // A machine gets the disk by a hard link.
    return { problem: `${disk.path} and ${stateDir} are on different file systems. Put both on the same one.` };
  } catch (error) {
    if (!(error instanceof AirlockError)) throw error;
    const hint = error.hint === undefined ? "" : ` ${error.hint}.`;
    return { problem: `${capitalized(error.message)}.${hint}` };
  }
}

function capitalized(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

async function findQemu(configured: string | undefined): Promise<string> {
  if (configured === undefined) {
    const found = await findOnSystemPath(["qemu-system-x86_64"]);
    if (found !== undefined) return found;
    throw runtimeFailed("qemu-system-x86_64 (package qemu-system-x86) is not installed", undefined, installHint);
  }
  try {
    await access(configured, constants.X_OK);
  } catch (cause) {
    throw runtimeFailed(`QEMU can't be run at ${configured}`, cause, "Correct the path in EXECUTOR_QEMU.");
  }
  return configured;
}

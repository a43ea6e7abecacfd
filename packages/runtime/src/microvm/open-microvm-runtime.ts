import { existsSync } from "node:fs";
import { mkdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { AirlockError } from "@airlock/job";
import { runtimeFailed } from "../contract/index.ts";
import { type CgroupHost, findCgroupHost } from "../host/cgroups/cgroup-host.ts";
import { findOnSystemPath } from "../host/find-program.ts";
import { defaultIds, type IdRange, isUnmapped, sharedIds } from "../host/id-range.ts";
import { collectProbes } from "./collect-probes.ts";
import { findStaticBusybox } from "./disks/guest-system.ts";
import { dockerNotInstalled, openDockerDisk } from "./docker/docker-disk.ts";
import { type BuiltGuest, openGuestFiles } from "./guest/build/build-guest-files.ts";
import { GuestHold } from "./guest/guest-hold.ts";
import { createMicrovmRuntime } from "./microvm-runtime.ts";
import type { MicrovmRuntime, MicrovmRuntimeOptions } from "./microvm-runtime-options.ts";
import { chooseMonitor, type MonitorChoice } from "./monitor/choice/choose-monitor.ts";
import { monitorCandidates } from "./monitor/choice/monitor-candidates.ts";
import type { MonitorSettings } from "./monitor/choice/monitor-settings.ts";
import type { GuestFiles, VmMonitor } from "./monitor/vm-monitor.ts";
import { probeMonitor } from "./probe-monitor.ts";
import { takeProbeOwner } from "./probe-owner.ts";
import { shortName } from "./short-name.ts";

export interface OpenMicrovmOptions
  extends Pick<
    MicrovmRuntimeOptions,
    | "stateDir"
    | "registry"
    | "imageLimits"
    | "images"
    | "hardening"
    | "egress"
    | "bandwidth"
    | "namePrefix"
    | "startupScript"
    | "keepDisksIn"
    | "onProblem"
  > {
  /** The directory with the guest's files. They are only checked here, never built. */
  readonly guestDir: string;
  /** What runs machines. Default: the best that works. */
  readonly monitor?: MonitorSettings;
  /**
   * `boot` takes a monitor only if it boots a guest. `installed` takes the best that is installed, for a process that
   * starts no machine. Default: `boot`.
   */
  readonly choice?: "boot" | "installed";
  readonly signal?: AbortSignal;
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
  ["mount", "mount"],
  ["umount", "mount"],
  ["pivot_root", "util-linux"],
  ["ldd", "libc-bin"],
  ["mke2fs", "e2fsprogs"],
] as const;
const emulationNote =
  "Virtual machines are emulated by QEMU (accelerator tcg). Steps run many times slower than in a container.";
const bestMonitor: MonitorSettings = { monitor: "auto", accelerator: "auto" };

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
  const excessBytes = Buffer.byteLength(options.stateDir) - maxStateDirBytes;
  if (excessBytes > 0) {
    throw runtimeFailed(
      `the path ${options.stateDir} is longer than ${maxStateDirBytes} bytes, too long for sockets of virtual machines`,
      undefined,
      `Set EXECUTOR_DATA_DIR to a directory whose path is at least ${excessBytes} bytes shorter.`,
    );
  }
  for (const [name, debianPackage] of otherPrograms) {
    if ((await findOnSystemPath([name])) === undefined) {
      throw runtimeFailed(`${name} (package ${debianPackage}) is not installed`, undefined, installHint);
    }
  }
  if (options.startupScript !== undefined) await findStaticBusybox();
  await using undo = new AsyncDisposableStack();
  const guestHold = existsSync(options.guestDir) ? undo.use(await GuestHold.ofAll(options.guestDir)) : undefined;
  const guest = await openGuestFiles(options.guestDir);
  const docker = await findDocker(options.guestDir, guest, options.stateDir);
  guestHold?.narrow([guest.kernel, guest.initrd, ...("path" in docker ? [docker.path] : [])]);
  const cgroupHost = await findCgroupHost();
  const ids = options.ids ?? ((await isUnmapped(defaultIds)) ? sharedIds : defaultIds);
  const { monitor, notes: refusals } = await choose(options, { guest, cgroupHost, ids });
  const monitors = new Map<string, VmMonitor>();
  const monitorFor = (owner: string): VmMonitor => {
    const known = monitors.get(owner) ?? monitor.of(owner);
    monitors.set(owner, known);
    return known;
  };
  const { problem } = cgroupHost;
  const notes = [
    ...refusals,
    ...(monitor.accelerator === "tcg" ? [emulationNote] : []),
    ...(problem === null ? [] : [`QEMU itself runs without limits. ${problem}`]),
  ];
  const held = guestHold ? { guestHold } : {};
  const runtime = await createMicrovmRuntime({ ...options, ...held, guest, docker, monitorFor, cgroupHost, notes });
  undo.move();
  return runtime;
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

/** Boots guests until one comes up. */
async function choose(
  {
    stateDir,
    monitor = bestMonitor,
    choice = "boot",
    bandwidth,
    signal = new AbortController().signal,
  }: OpenMicrovmOptions,
  { guest, cgroupHost, ids }: { readonly guest: GuestFiles; readonly cgroupHost: CgroupHost; readonly ids: IdRange },
): Promise<MonitorChoice> {
  const host = { ids, cgroupHost, bandwidth: bandwidth ?? null };
  if (choice === "installed") {
    return await chooseMonitor(monitorCandidates(monitor, { ...host, owner: "none" }), async () => {}, { signal });
  }
  await mkdir(stateDir, { recursive: true, mode: 0o700 });
  using held = await takeProbeOwner();
  const { owner } = held;
  const directory = join(stateDir, "vms", shortName(owner));
  await using _collected = { [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }) };
  await collectProbes(stateDir, { cgroupHost, own: owner, signal });
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const works = (one: VmMonitor) => probeMonitor(one, { guest, directory, signal });
  return await chooseMonitor(monitorCandidates(monitor, { ...host, owner }), works, { signal });
}

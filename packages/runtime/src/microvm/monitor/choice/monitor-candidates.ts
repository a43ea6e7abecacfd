import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { AirlockError } from "@airlock/job";
import { runtimeFailed } from "../../../contract/errors.ts";
import type { Bandwidth } from "../../../egress/index.ts";
import type { CgroupHost } from "../../../host/cgroups/cgroup-host.ts";
import { findOnSystemPath } from "../../../host/find-program.ts";
import type { IdRange } from "../../../host/id-range.ts";
import { idsLockFile } from "../../../host/id-ranges.ts";
import { openFirecrackerMonitor } from "../firecracker/open-firecracker-monitor.ts";
import { openQemuMonitor } from "../qemu/open-qemu-monitor.ts";
import type { VmMonitor } from "../vm-monitor.ts";
import { findKvmAccess } from "./kvm-access.ts";
import type { MonitorSettings } from "./monitor-settings.ts";

/** A monitor that the settings permit. */
export interface MonitorCandidate {
  /** Begins a sentence. */
  readonly name: string;
  /** @throws {AirlockError} reason `runtime` when it can't run a guest for an obvious reason. */
  open(): Promise<VmMonitor>;
}

export interface MonitorHost {
  /** The executor whose machines the monitor runs first. */
  readonly owner: string;
  /** Ids of the users of machines. */
  readonly ids: IdRange;
  readonly cgroupHost: CgroupHost;
  /** `null`: no limit. */
  readonly bandwidth: Bandwidth | null;
}

const installHint = "Run as root: executor install microvm";

/** The monitors that the settings permit, the best first. */
export function monitorCandidates(settings: MonitorSettings, host: MonitorHost): readonly MonitorCandidate[] {
  const { monitor, accelerator } = settings;
  const firecracker: MonitorCandidate = { name: "Firecracker", open: () => openFirecracker(settings, host) };
  const kvm: MonitorCandidate = { name: "QEMU with KVM", open: () => openQemu(settings, host, "kvm") };
  const tcg: MonitorCandidate = { name: "QEMU without KVM", open: () => openQemu(settings, host, "tcg") };
  return [
    ...(monitor !== "qemu" && accelerator !== "tcg" ? [firecracker] : []),
    ...(monitor !== "firecracker" && accelerator !== "tcg" ? [kvm] : []),
    ...(monitor !== "firecracker" && accelerator !== "kvm" ? [tcg] : []),
  ];
}

async function openFirecracker(
  { firecrackerPath, jailerPath }: MonitorSettings,
  { owner, ids, cgroupHost, bandwidth }: MonitorHost,
): Promise<VmMonitor> {
  const hint =
    "Install Firecracker and its jailer from the same release, or set EXECUTOR_FIRECRACKER and EXECUTOR_JAILER.";
  const program = await findProgram("firecracker", firecrackerPath, "EXECUTOR_FIRECRACKER", hint);
  const jailer = await findProgram("jailer", jailerPath, "EXECUTOR_JAILER", hint);
  const lockFile = idsLockFile;
  return await openFirecrackerMonitor({ program, jailer, owner, ids, lockFile, cgroupHost, bandwidth });
}

async function openQemu(
  { qemuPath }: MonitorSettings,
  { owner, ids, cgroupHost }: MonitorHost,
  accelerator: "kvm" | "tcg",
): Promise<VmMonitor> {
  const program = await findProgram("qemu-system-x86_64", qemuPath, "EXECUTOR_QEMU", installHint);
  const access = accelerator === "kvm" ? await findKvmAccess() : { group: null };
  if ("problem" in access) throw runtimeFailed(access.problem);
  const { group: kvmGroup } = access;
  return await openQemuMonitor({ program, accelerator, kvmGroup, owner, ids, lockFile: idsLockFile, cgroupHost });
}

async function findProgram(
  name: string,
  configured: string | undefined,
  variable: string,
  hint: string,
): Promise<string> {
  if (configured === undefined) {
    const found = await findOnSystemPath([name]);
    if (found !== undefined) return found;
    throw runtimeFailed(`${name} is not installed in one of the system's directories for programs`, undefined, hint);
  }
  try {
    await access(configured, constants.X_OK);
  } catch (cause) {
    const message = `${name === "qemu-system-x86_64" ? "QEMU" : name} can't be run at ${configured}`;
    throw new AirlockError(message, {
      code: "monitor-missing",
      reason: "runtime",
      hint: `Correct the path in ${variable}.`,
      cause,
    });
  }
  return configured;
}

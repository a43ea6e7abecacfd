import { AirlockError } from "@airlock/job";
import { outputOf, systemEnvironment } from "@airlock/process";
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
  const program = await findProgram(programs.firecracker, firecrackerPath, hint);
  const jailer = await findProgram(programs.jailer, jailerPath, hint);
  const lockFile = idsLockFile;
  return await openFirecrackerMonitor({ program, jailer, owner, ids, lockFile, cgroupHost, bandwidth });
}

async function openQemu(
  { qemuPath }: MonitorSettings,
  { owner, ids, cgroupHost }: MonitorHost,
  accelerator: "kvm" | "tcg",
): Promise<VmMonitor> {
  const program = await findProgram(programs.qemu, qemuPath, installHint);
  const access = accelerator === "kvm" ? await findKvmAccess() : { group: null };
  if ("problem" in access) throw runtimeFailed(access.problem);
  const { group: kvmGroup } = access;
  return await openQemuMonitor({ program, accelerator, kvmGroup, owner, ids, lockFile: idsLockFile, cgroupHost });
}

interface Program {
  readonly file: string;
  readonly name: string;
  readonly variable: string;
  /** What `--version` prints. */
  readonly version: RegExp;
}

const programs = {
  firecracker: {
    file: "firecracker",
    name: "Firecracker",
    variable: "EXECUTOR_FIRECRACKER",
    version: /^Firecracker v\d/m,
  },
  jailer: { file: "jailer", name: "the jailer", variable: "EXECUTOR_JAILER", version: /^Jailer v\d/m },
  qemu: {
    file: "qemu-system-x86_64",
    name: "QEMU",
    variable: "EXECUTOR_QEMU",
    version: /^QEMU emulator version \d/m,
  },
} as const satisfies Record<string, Program>;
const versionMs = 10_000;
const maxShown = 100;

async function findProgram(program: Program, configured: string | undefined, hint: string): Promise<string> {
  if (configured === undefined) {
    const found = await findOnSystemPath([program.file]);
    if (found !== undefined) return found;
    throw runtimeFailed(
      `${program.file} is not installed in one of the system's directories for programs`,
      undefined,
      hint,
    );
  }
  const wrong = (problem: string, cause?: unknown) =>
    new AirlockError(`${program.variable} does not name ${program.name}: ${problem}`, {
      code: "monitor-missing",
      reason: "runtime",
      hint: `Correct the path in ${program.variable}.`,
      cause,
    });
  let printed: string;
  try {
    printed = await outputOf([configured, "--version"], { env: systemEnvironment, timeoutMs: versionMs });
  } catch (cause) {
    throw wrong(`${configured} can't be run`, cause);
  }
  if (program.version.test(printed)) return configured;
  const [line = ""] = printed.slice(0, maxShown).split("\n");
  throw wrong(`${configured} --version prints ${JSON.stringify(line)}`);
}

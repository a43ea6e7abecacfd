import { freemem, totalmem } from "node:os";
import type { SandboxPlan } from "../contract/index.ts";
import { blockBytes } from "./disks/ext4/layout.ts";
import { defaultWorkspaceBytes } from "./disks/workspace-disk.ts";

/** What can't change in a machine that runs already. A guest that waits in the pool fits jobs of its shape only. */
export interface MachineShape {
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly diskBytes: number;
  readonly hasNetwork: boolean;
}

const mebibyte = 2 ** 20;
/** What the guest's kernel and agent need beside the job: measured 60 MiB with Debian's cloud kernel. */
const guestBytes = 128 * mebibyte;

/** The machine that a job gets. */
export function machineShape({ limits, egress }: Pick<SandboxPlan, "limits" | "egress">): MachineShape {
  const { cpus, memoryBytes, diskBytes = defaultWorkspaceBytes } = limits;
  return {
    cpus: Math.max(1, Math.ceil(cpus)),
    memoryBytes: machineMemory(memoryBytes),
    diskBytes: Math.floor(diskBytes / blockBytes) * blockBytes,
    hasNetwork: egress.kind !== "none",
  };
}

/** The kernel refuses a machine that has more memory than this host. The job's limit may be larger. */
function machineMemory(limitBytes: number): number {
  const hostBytes = Math.floor(totalmem() / mebibyte) * mebibyte;
  return Math.min(Math.ceil((limitBytes + guestBytes) / mebibyte) * mebibyte, hostBytes);
}

/** Memory of QEMU and of the guest's kernel when it waits: measured 125 MB. */
const waitingBytes = 160 * mebibyte;
/** Tables of the guest's kernel for its memory: measured 1.9 %. */
const sharePerByte = 1 / 50;

/** Whether a guest may wait for a job on this host: a quarter of its memory has to stay available. */
export function hasMemoryToWait({ memoryBytes }: MachineShape): boolean {
  return freemem() - waitingBytes - memoryBytes * sharePerByte >= totalmem() / 4;
}

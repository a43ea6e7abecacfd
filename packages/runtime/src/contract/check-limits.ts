import { formatBytes, leastResources } from "@airlock/job";
import { refusedByPolicy } from "./errors.ts";
import type { SandboxLimits } from "./sandbox-plan.ts";

/**
 * Rejects limits with which no sandbox can start. The engine's own errors would look like a failure of the machine.
 * @throws {AirlockError} reason `policy`.
 */
export function checkLimits({ cpus, memoryBytes, diskBytes, pids, shmBytes }: SandboxLimits): void {
  const least = leastResources;
  const problems = [
    ...(cpus < least.cpus ? [`${cpus} cores, the least is ${least.cpus}`] : []),
    ...(memoryBytes < least.memoryBytes
      ? [`${formatBytes(memoryBytes)} of memory, the least is ${formatBytes(least.memoryBytes)}`]
      : []),
    ...(diskBytes !== undefined && diskBytes < least.diskBytes
      ? [`${formatBytes(diskBytes)} of disk, the least is ${formatBytes(least.diskBytes)}`]
      : []),
    ...(shmBytes !== undefined && shmBytes < least.shmBytes
      ? [`${formatBytes(shmBytes)} of shared memory, the least is ${formatBytes(least.shmBytes)}`]
      : []),
    ...(pids < least.pids ? [`${pids} processes, the least is ${least.pids}`] : []),
  ];
  if (problems.length > 0)
    throw refusedByPolicy(`the job's limits are too low: ${problems.join("; ")}`, "Raise the job's resources.");
}

/** Size of `/dev/shm` that engines use by default. */
const defaultShmBytes = 64 << 20;

/** The size of a sandbox's `/dev/shm`. Never more than its memory. */
export function shmSize({ shmBytes = defaultShmBytes, memoryBytes }: SandboxLimits): number {
  return Math.min(shmBytes, memoryBytes);
}

import { formatBytes } from "@airlock/job";
import type { SandboxLimits, StepStatus } from "../contract/index.ts";
import type { Cgroup } from "../host/cgroups/cgroup.ts";

/** The kernel's counters of a sandbox over all its steps. They never decrease. */
export interface LimitCounts {
  readonly refusedForks: number;
  readonly throttledMs: number;
  /** On a monotonic clock. */
  readonly atMs: number;
}

export async function countLimits(sandbox: Cgroup): Promise<LimitCounts> {
  const [refusedForks, throttledMs] = await Promise.all([sandbox.refusedForks(), sandbox.throttledMs()]);
  return { refusedForks, throttledMs, atMs: performance.now() };
}

export interface StruckLimits {
  readonly limits: SandboxLimits;
  /** Counters of the sandbox before and after the step. */
  readonly before: LimitCounts;
  readonly after: LimitCounts;
  /** Counters of the step's own cgroup. */
  readonly refusedForks: number;
  readonly oomKills: number;
}

/** Only waits for the processor beyond both limits are reported, because every step with threads has short ones. */
const longWaitMs = 1000;
const longWaitShare = 0.1;

/** One sentence for each limit that the step reached and that its status does not already report. */
export function limitNotes(status: StepStatus, struck: StruckLimits): readonly string[] {
  const { limits, before, after } = struck;
  const notes: string[] = [];
  const tellsOfMemory = status.kind === "killed" && status.outOfMemory;
  if (struck.oomKills > 0 && !tellsOfMemory) {
    notes.push(
      `a process of the step was killed: the job used more memory than its ${formatBytes(limits.memoryBytes)}`,
    );
  }
  // Depending on the kernel, the counter is in the cgroup that tried the fork or in the one with the limit.
  if (struck.refusedForks > 0 || after.refusedForks > before.refusedForks) {
    notes.push(`the step was refused new processes: the job's limit is ${limits.pids} at a time (resources.pids)`);
  }
  const waitedMs = after.throttledMs - before.throttledMs;
  if (waitedMs >= longWaitMs && waitedMs >= (after.atMs - before.atMs) * longWaitShare) {
    const seconds = (waitedMs / 1000).toFixed(1);
    notes.push(
      `the step waited ${seconds} s for the processor: the job's limit is ${limits.cpus} cores (resources.cpus)`,
    );
  }
  return notes;
}

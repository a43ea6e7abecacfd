import { formatBytes } from "@airlock/job";
import type { SandboxLimits, StepStatus } from "../contract/index.ts";
import type { Cgroup } from "../host/cgroups/cgroup.ts";

/** What the kernel counts of a sandbox over all its steps; both only grow. */
export interface LimitCounts {
  readonly refusedForks: number;
  readonly throttledMs: number;
  /** By a clock that only goes forward. */
  readonly atMs: number;
}

export async function countLimits(sandbox: Cgroup): Promise<LimitCounts> {
  const [refusedForks, throttledMs] = await Promise.all([sandbox.refusedForks(), sandbox.throttledMs()]);
  return { refusedForks, throttledMs, atMs: performance.now() };
}

export interface StruckLimits {
  readonly limits: SandboxLimits;
  /** Of the sandbox, before and after the step. */
  readonly before: LimitCounts;
  readonly after: LimitCounts;
  /** Of the step's own cgroup. */
  readonly refusedForks: number;
  readonly oomKills: number;
}

/** Waits for the processor are told of from here on: every step that uses threads has short ones. */
const longWaitMs = 1000;
const longWaitShare = 0.1;

/** One sentence for each limit that struck and that the end of the step does not tell of. */
export function limitNotes(status: StepStatus, struck: StruckLimits): readonly string[] {
  const { limits, before, after } = struck;
  const notes: string[] = [];
  const tellsOfMemory = status.kind === "killed" && status.outOfMemory;
  if (struck.oomKills > 0 && !tellsOfMemory) {
    notes.push(
      `a process of the step was killed: the job used more memory than its ${formatBytes(limits.memoryBytes)}`,
    );
  }
  // Kernels count where the fork was tried, or where the limit is.
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

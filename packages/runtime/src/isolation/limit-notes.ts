import { formatBytes } from "@airlock/job";
import type { SandboxLimits, StepStatus } from "../contract/index.ts";

/** What the kernel counted during a step. */
export interface StruckLimits {
  readonly limits: Pick<SandboxLimits, "cpus" | "memoryBytes" | "pids">;
  readonly oomKills: number;
  readonly refusedForks: number;
  readonly throttledMs: number;
  /** How long the step ran. */
  readonly elapsedMs: number;
}

/** Only waits for the processor beyond both limits are reported, because every step with threads has short ones. */
const longWaitMs = 1000;
const longWaitShare = 0.1;

/** One sentence for each limit that the step reached and that its status does not already report. */
export function limitNotes(status: StepStatus, struck: StruckLimits): readonly string[] {
  const { limits, refusedForks, throttledMs, elapsedMs } = struck;
  const notes: string[] = [];
  const tellsOfMemory = status.kind === "killed" && status.outOfMemory;
  if (struck.oomKills > 0 && !tellsOfMemory) {
    notes.push(
      `a process of the step was killed: the job used more memory than its ${formatBytes(limits.memoryBytes)}`,
    );
  }
  if (refusedForks > 0) {
    notes.push(`the step was refused new processes: the job's limit is ${limits.pids} at a time (resources.pids)`);
  }
  if (throttledMs >= longWaitMs && throttledMs >= elapsedMs * longWaitShare) {
    const seconds = (throttledMs / 1000).toFixed(1);
    notes.push(
      `the step waited ${seconds} s for the processor: the job's limit is ${limits.cpus} cores (resources.cpus)`,
    );
  }
  return notes;
}

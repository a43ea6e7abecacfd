import { readFile } from "node:fs/promises";

/**
 * How much a sandbox gets of what the kernel counts for each user. Without such limits one sandbox may take the whole
 * budget. What it takes also counts as the job's memory.
 */
export interface UserLimits {
  /** Number of signals and timers that are queued. */
  readonly pendingSignals: number;
  /** Size of all POSIX message queues together. */
  readonly messageQueueBytes: number;
}

/** The limits that each process of a step has. */
export interface ProcessLimits extends UserLimits {
  readonly maxOpenFiles: number;
}

/** Programs queue a handful of signals, and the kernel's default for queues is twice this. */
const most: ProcessLimits = { maxOpenFiles: 1 << 20, pendingSignals: 4096, messageQueueBytes: 409_600 };

/**
 * The limits of processes of steps: at most this process's own hard limits. Higher ones need a capability, and programs
 * rely on the limits that they see.
 */
export async function processLimits(): Promise<ProcessLimits> {
  const own = await readFile("/proc/self/limits", "utf8");
  const atMost = (name: string, wanted: number) => {
    const [, hard] = new RegExp(`^${name} +\\S+ +(\\d+) `, "m").exec(own) ?? [];
    return hard === undefined ? wanted : Math.min(Number(hard), wanted);
  };
  return {
    maxOpenFiles: atMost("Max open files", most.maxOpenFiles),
    pendingSignals: atMost("Max pending signals", most.pendingSignals),
    messageQueueBytes: atMost("Max msgqueue size", most.messageQueueBytes),
  };
}

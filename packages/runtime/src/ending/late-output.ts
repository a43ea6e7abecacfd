import { setTimeout as delay } from "node:timers/promises";

/** Time limit between SIGTERM and SIGKILL of an aborted step. SIGKILL is not needed if all processes end before. */
export const gracePeriodMs = 5000;

/** Interval at which the runtime checks whether processes of the step are left. */
export const lookMs = 20;

/**
 * How long processes that a script left behind may print. Time in which the reader of the output is busy doesn't count.
 */
const lateOutputMs = 5000;

/**
 * After this silence, no more output is expected. It is longer where the runtime can't see whether processes are busy.
 */
const silenceMs = { seen: 50, unseen: 500 };

/** The processes that a script left behind when it ended. */
export interface LeftProcesses {
  readonly count: number;
  /** Whether one of them runs, or waits for a processor or a disk. `undefined` if the runtime can't see that. */
  readonly areBusy: boolean | undefined;
}

export interface LateOutput {
  left(): Promise<LeftProcesses>;
  /** For how long there has been nothing to read; 0 while the reader is busy with earlier output. */
  idleMs(): number;
  /** Ends the wait at once. */
  readonly signal: AbortSignal;
}

/**
 * Waits, after the end of a script, for the output that its other processes pass on, as with `exec > >(tee log)`.
 * Resolves when they have ended, are silent, or have used up their time. A daemon that holds the output open becomes
 * silent.
 */
export async function untilPrinted({ left, idleMs, signal }: LateOutput): Promise<void> {
  let waitedMs = 0;
  let silences = 0;
  while (!signal.aborted) {
    const { count, areBusy } = await left();
    if (count === 0) return;
    const isSilent = areBusy !== true && idleMs() >= (areBusy === undefined ? silenceMs.unseen : silenceMs.seen);
    // Look twice: a process that was about to run at the first look may print next.
    silences = isSilent ? silences + 1 : 0;
    if (silences > 1 || waitedMs > lateOutputMs) return;
    const from = performance.now();
    await delay(lookMs);
    if (idleMs() > 0) waitedMs += performance.now() - from;
  }
}

import { setTimeout as delay } from "node:timers/promises";

/** Between SIGTERM and SIGKILL of an aborted step: until none of its processes is left, and no longer than this. */
export const gracePeriodMs = 5000;

/** How often it is looked whether processes are left. */
export const lookMs = 20;

/** How long processes that a script left behind may go on printing. What the reader of the output takes does not count. */
const lateOutputMs = 5000;

/** From here on a step that prints nothing has nothing to say any more; longer where it can't be seen whether it computes. */
const silenceMs = { seen: 50, unseen: 500 };

/** What a script left behind when it ended. */
export interface LeftProcesses {
  readonly count: number;
  /** Whether one of them runs, or waits for a processor or a disk; `undefined`: that can't be seen. */
  readonly areBusy: boolean | undefined;
}

export interface LateOutput {
  left(): Promise<LeftProcesses>;
  /** For how long there has been nothing to read; 0 while the reader still takes what came before. */
  idleMs(): number;
  /** Ends the wait at once. */
  readonly signal: AbortSignal;
}

/**
 * Waits, after the end of a script, for the output that its other processes pass on, as with `exec > >(tee log)`: until they have
 * ended, are silent, or had their time. A daemon that holds the output open is silent sooner or later.
 */
export async function untilPrinted({ left, idleMs, signal }: LateOutput): Promise<void> {
  let waitedMs = 0;
  let silences = 0;
  while (!signal.aborted) {
    const { count, areBusy } = await left();
    if (count === 0) return;
    const isSilent = areBusy !== true && idleMs() >= (areBusy === undefined ? silenceMs.unseen : silenceMs.seen);
    // One that was about to run a moment ago may be what prints next.
    silences = isSilent ? silences + 1 : 0;
    if (silences > 1 || waitedMs > lateOutputMs) return;
    const from = performance.now();
    await delay(lookMs);
    if (idleMs() > 0) waitedMs += performance.now() - from;
  }
}

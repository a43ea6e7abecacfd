import type { Cgroup } from "./cgroup.ts";

// The same numbers as in the guest's agent (step-cgroup.c), which ends such steps in virtual machines.
const fullShare = 0.98;
const starvedFileBytes = 4 * 2 ** 20;
const starvedRefaults = 500;
const starvedMs = 10_000;
/** The kernel brings the counts of a cgroup up to date every two seconds. */
const lookMs = 3000;

/** The memory of a cgroup at one moment. */
export interface MemoryState {
  readonly usedBytes: number;
  /** Pages of files, without those of in-memory file systems. */
  readonly fileBytes: number;
  /** How often the kernel read a page of a file again soon after it had dropped it. Only grows. */
  readonly refaults: number;
}

/**
 * Finds out that processes starve. Their memory is full of what the kernel can't take back, so it drops pages of their
 * programs and reads them again. The kernel takes that for progress and kills nothing, or only after a long time. Such
 * processes have almost no file in memory and read many pages again, for longer than any usable program does.
 */
export class Starvation {
  readonly #limitBytes: number;
  #refaults = 0;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #fedAt = Number.NEGATIVE_INFINITY;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /**
   * Takes one look, every 3 s. Returns whether the processes have starved for 10 s, which then begin anew.
   * @param now In ms, on a monotonic clock.
   */
  look({ usedBytes, fileBytes, refaults }: MemoryState, now: number): boolean {
    const seconds = (now - this.#lookedAt) / 1000;
    const isFull = usedBytes >= fullShare * this.#limitBytes && fileBytes < starvedFileBytes;
    const starves = isFull && (refaults - this.#refaults) / seconds >= starvedRefaults;
    this.#refaults = refaults;
    this.#lookedAt = now;
    if (!starves) this.#fedAt = now;
    if (now - this.#fedAt < starvedMs) return false;
    this.#fedAt = now;
    return true;
  }
}

/**
 * Has a process killed each time that the processes of a sandbox starve, as the kernel would for lack of memory.
 * @param sandbox The cgroup with the memory limit.
 * @param step The cgroup of the processes of which the largest is killed.
 */
export function watchStarvation(sandbox: Cgroup, step: Cgroup, limitBytes: number): Disposable {
  const starvation = new Starvation(limitBytes);
  const timer = setInterval(() => {
    const state = sandbox.memoryState();
    if (state && starvation.look(state, performance.now())) step.killLargest();
  }, lookMs);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

import { closeSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { runtimeFailed } from "../contract/index.ts";
import type { IdRange } from "./id-range.ts";
import type { SystemCalls } from "./system-calls.ts";

/** A range of ids that no other sandbox of this machine has until it is disposed of. */
export interface HeldIdRange extends Disposable {
  readonly range: IdRange;
}

export interface IdRangesOptions {
  /** All ids that may be given out. */
  readonly ids: IdRange;
  /** Number of ids in each range. */
  readonly size: number;
  /** The file whose locks tell which ids are in use. All executors of the machine have to use the same. */
  readonly lockFile: string;
  readonly calls: Pick<SystemCalls, "lockIds">;
}

/** The file with the locks of all ids that are in use on this machine. It stays empty. */
export const idsLockFile = "/run/airlock-ids/locks";

/**
 * Divides ids into ranges of equal size and gives them out. A range is held by a lock of the kernel's on the positions
 * of its ids in a file. So ranges of different sizes never overlap, and what a killed process held is free.
 */
export class IdRanges {
  readonly #options: IdRangesOptions;
  readonly #count: number;
  #next: number;

  constructor(options: IdRangesOptions) {
    this.#options = options;
    this.#count = Math.floor(options.ids.size / options.size);
    // Executors that can't see each other's locks, as in containers, rarely begin with the same range.
    this.#next = Math.floor(Math.random() * this.#count);
  }

  /** @throws {AirlockError} reason `runtime` when all ranges are in use. */
  take(): HeldIdRange {
    const { ids, size, lockFile, calls } = this.#options;
    mkdirSync(dirname(lockFile), { recursive: true, mode: 0o700 });
    const descriptor = openSync(lockFile, "a", 0o600);
    try {
      for (let tried = 0; tried < this.#count; tried += 1) {
        const range = { base: ids.base + this.#next * size, size };
        // Reuse the most recently released range last, so that remaining processes of its user have time to end.
        this.#next = (this.#next + 1) % this.#count;
        if (calls.lockIds(descriptor, range)) return held(range, descriptor);
      }
    } catch (error) {
      closeSync(descriptor);
      throw error;
    }
    closeSync(descriptor);
    throw runtimeFailed(
      `sandboxes use all of the ${this.#count} ranges of host ids`,
      undefined,
      "Let the executors' administrator give more ids (EXECUTOR_SANDBOX_IDS), or run fewer jobs.",
    );
  }
}

function held(range: IdRange, descriptor: number): HeldIdRange {
  let isHeld = true;
  return {
    range,
    [Symbol.dispose]() {
      if (!isHeld) return;
      isHeld = false;
      closeSync(descriptor);
    },
  };
}

import { mkdir, readdir, rename } from "node:fs/promises";
import { basename, join } from "node:path";
import { onAbort } from "@airlock/async";
import { errorMessage } from "@airlock/job";
import { errorCode } from "../host/error-code.ts";
import { removeHostileTree } from "./remove-tree.ts";

/** A directory with a million files must not keep the others waiting forever. */
const removalTimeoutMs = 10 * 60_000;

export interface TrashOptions {
  /** On the file system of what is removed; made when needed. */
  readonly dir: string;
  /** Told about a removal that failed; the next sweep tries again. */
  readonly onProblem: (dir: string, problem: string) => void;
}

/**
 * Removes directories one after the other, in the background: a job that left a million files is over before they are
 * gone. What is not gone when the process ends is found by the next one's sweep.
 */
export class Trash {
  readonly #options: TrashOptions;
  #work: Promise<void> = Promise.resolve();

  constructor(options: TrashOptions) {
    this.#options = options;
  }

  /** Takes a directory without mounts; it is out of its place when this resolves. Nothing happens when it is gone. */
  async add(dir: string): Promise<void> {
    await mkdir(this.#options.dir, { recursive: true, mode: 0o700 });
    const doomed = join(this.#options.dir, basename(dir));
    try {
      await rename(dir, doomed);
    } catch (error) {
      if (errorCode(error) === "ENOENT") return;
      throw error;
    }
    this.#remove(doomed);
  }

  /** Tries again what is left, e.g. from an earlier run. */
  async sweep(): Promise<number> {
    await mkdir(this.#options.dir, { recursive: true, mode: 0o700 });
    await this.#work;
    const left = await readdir(this.#options.dir);
    for (const name of left) this.#remove(join(this.#options.dir, name));
    return left.length;
  }

  /** Resolves when everything is removed, or when the signal ends the wait. */
  async settled(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    using _ = onAbort(signal, resolve);
    await Promise.race([this.#work, promise]);
  }

  #remove(dir: string): void {
    this.#work = this.#work
      .then(() => removeHostileTree(dir, AbortSignal.timeout(removalTimeoutMs)))
      .catch((error: unknown) => this.#options.onProblem(dir, errorMessage(error)));
  }
}

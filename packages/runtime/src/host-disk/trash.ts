import { mkdir, readdir, rename } from "node:fs/promises";
import { basename, join } from "node:path";
import { onAbort } from "@airlock/async";
import { errorMessage } from "@airlock/job";
import { errorCode } from "../host/error-code.ts";
import { removeHostileTree } from "../host/remove-tree.ts";

/** Timeout per directory, so that one with millions of files does not block the others forever. */
const removalTimeoutMs = 10 * 60_000;

export interface TrashOptions {
  /** A directory on the same file system as what is removed. Created if needed. */
  readonly dir: string;
  /** Called when a removal failed. The next sweep tries again. */
  readonly onProblem: (dir: string, problem: string) => void;
}

/**
 * Removes directories one at a time in the background, so that a job's end does not wait for the removal of a million
 * files. If the process ends first, the next one's sweep removes the rest.
 */
export class Trash {
  readonly #options: TrashOptions;
  #work: Promise<void> = Promise.resolve();

  constructor(options: TrashOptions) {
    this.#options = options;
  }

  /**
   * Moves a directory, which must contain no mounts, into the trash. It is gone from its path when this resolves. Does
   * nothing if it does not exist.
   */
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

  /**
   * Queues what is left in the trash, e.g. from an earlier run, for removal again. Returns how many directories that
   * is.
   */
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

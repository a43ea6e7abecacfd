import { mkdir, readdir, rename } from "node:fs/promises";
import { basename, join } from "node:path";
import { onAbort } from "@airlock/async";
import { errorMessage } from "@airlock/job";
import type { Logger } from "pino";
import { removeTree } from "./remove-tree.ts";

/** A directory with a million files must not keep the others waiting for ever. */
const removalTimeoutMs = 10 * 60_000;

/**
 * Removes directories one after the other, in the background: a job that left a million files is over before they are
 * gone. What is not gone when the executor ends is found here by the next one.
 */
export class Trash {
  readonly #dir: string;
  readonly #path: string;
  readonly #logger: Logger;
  #work: Promise<void> = Promise.resolve();

  constructor(options: { readonly dir: string; readonly path: string; readonly logger: Logger }) {
    this.#dir = options.dir;
    this.#path = options.path;
    this.#logger = options.logger;
  }

  /** Takes a directory without mounts; it is out of its place when this resolves. */
  async add(dir: string): Promise<void> {
    await mkdir(this.#dir, { recursive: true });
    const doomed = join(this.#dir, basename(dir));
    await rename(dir, doomed);
    this.#remove(doomed);
  }

  /** Tries again what is left, e.g. from an earlier run. */
  async sweep(): Promise<number> {
    await mkdir(this.#dir, { recursive: true });
    await this.#work;
    const left = await readdir(this.#dir);
    for (const name of left) this.#remove(join(this.#dir, name));
    return left.length;
  }

  /** Resolves when all is removed, or the signal ends the wait. */
  async settled(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    using _listener = onAbort(signal, resolve);
    await Promise.race([this.#work, promise]);
  }

  #remove(dir: string): void {
    this.#work = this.#work
      .then(() => removeTree(dir, this.#path, AbortSignal.timeout(removalTimeoutMs)))
      .catch((error: unknown) =>
        this.#logger.warn({ dir, error: errorMessage(error) }, "a workspace is not removed yet"),
      );
  }
}

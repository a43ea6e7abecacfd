import { statfs } from "node:fs/promises";
import { formatBytes } from "@airlock/job";

const intervalMs = 200;
/**
 * A job that fails for want of space rarely fills the last block: what it wanted to write was larger than the rest, and
 * a write of a megabyte fails as a whole.
 */
const fullFraction = 0.005;
const writeBytes = 4 * 2 ** 20;

/**
 * Tells when a workspace's own file system is full. The kernel tells only the process that writes; what that says of it,
 * if anything, is lost among its output, and it may have made room again before it ends.
 */
export class DiskBound {
  readonly #dir: string;
  readonly #bytes: number;

  /** `dir`: somewhere on the file system; `bytes`: its size, as people asked for it. */
  constructor(dir: string, bytes: number) {
    this.#dir = dir;
    this.#bytes = bytes;
  }

  /** Looks again and again until it is disposed. */
  watch(): DiskBoundWatch {
    let found: string | undefined;
    const look = async () => {
      found ??= await this.#look();
    };
    // A look that fails is made up for by the last one, whose failure is told.
    const timer = setInterval(() => void look().catch(() => {}), intervalMs);
    return {
      problem: async () => {
        await look();
        return found;
      },
      [Symbol.dispose]: () => clearInterval(timer),
    };
  }

  async #look(): Promise<string | undefined> {
    const { bsize, blocks, bavail, files, ffree } = await statfs(this.#dir);
    if (bavail <= Math.max(blocks * fullFraction, Math.min(blocks / 10, writeBytes / bsize))) {
      return `the job's disk is full: its limit is ${formatBytes(this.#bytes)} for the workspace and what steps write elsewhere (resources.disk)`;
    }
    if (ffree <= files * fullFraction) {
      return `the job's disk holds no more files: with its ${formatBytes(this.#bytes)} its limit is ${files} files (resources.disk)`;
    }
    return undefined;
  }
}

export interface DiskBoundWatch extends Disposable {
  /** One sentence, when the disk is full or was while it was watched. */
  problem(): Promise<string | undefined>;
}

import { statfs } from "node:fs/promises";
import { formatBytes } from "@airlock/job";

const intervalMs = 200;
/**
 * Thresholds below which the disk counts as full. A job that runs out of space rarely fills the last block: a large
 * write fails as a whole if it does not fit.
 */
const fullFraction = 0.005;
const writeBytes = 4 * 2 ** 20;

/**
 * Detects when a workspace's own file system is full. The kernel reports that only to the process that writes. Its
 * message may be lost in its output, and it may free space again before it ends.
 */
export class DiskBound {
  readonly #dir: string;
  readonly #bytes: number;

  /** `dir`: any path on the file system. `bytes`: its size as requested, for messages. */
  constructor(dir: string, bytes: number) {
    this.#dir = dir;
    this.#bytes = bytes;
  }

  async usedBytes(): Promise<number> {
    const { bsize, blocks, bfree } = await statfs(this.#dir);
    return (blocks - bfree) * bsize;
  }

  /** Checks periodically until it is disposed of. */
  watch(): DiskBoundWatch {
    let found: string | undefined;
    const look = async () => {
      found ??= await this.#look();
    };
    // Ignore a failed check: the last one checks again and reports its failure.
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
      return `the job's disk cannot hold more files: with ${formatBytes(this.#bytes)} its limit is ${files} files (resources.disk)`;
    }
    return undefined;
  }
}

export interface DiskBoundWatch extends Disposable {
  /** One sentence if the disk is full now or was while it was watched. */
  problem(): Promise<string | undefined>;
}

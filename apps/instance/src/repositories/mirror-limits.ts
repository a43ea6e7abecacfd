import { open, readdir, stat } from "node:fs/promises";
import path from "node:path";
import { AirlockError, formatBytes } from "@airlock/job";
import type { RepositorySource } from "./repository-url.ts";

/** Limits of one mirror. */
export interface MirrorLimits {
  /** Size on disk in bytes. */
  readonly maxBytes: number;
  readonly maxObjects: number;
}

export const defaultMirrorLimits: MirrorLimits = { maxBytes: 10 * 1024 ** 3, maxObjects: 20_000_000 };

/** Memory limit for git while it processes data from an untrusted server: deltas may expand to any size. */
export const fetchMemoryBytes = 2 * 1024 ** 3;

const watchIntervalMs = 100;
/** Number of rounds between two size checks, which have to stat every file of the mirror. */
const sizeEvery = 20;
const packHeaderBytes = 12;

export interface MirrorWatch extends AsyncDisposable {
  /** Aborted once a limit is exceeded. The reason is the error to throw. */
  readonly signal: AbortSignal;
}

/**
 * Watches a mirror while git fetches into it. A pack's header says how many objects it has. git itself limits the size
 * of a single file; this watch measures the size of all files together.
 */
export function watchMirror(directory: string, source: RepositorySource, limits: MirrorLimits): MirrorWatch {
  const exceeded = new AbortController();
  let rounds = 0;
  let running: Promise<void> | null = null;
  const look = async () => {
    if ((await announcedObjects(directory)) > limits.maxObjects) {
      exceeded.abort(tooLarge(source, `more than ${limits.maxObjects} objects`));
    }
    rounds += 1;
    if (rounds % sizeEvery === 0 && (await usedBytes(directory)) > limits.maxBytes) {
      exceeded.abort(tooLarge(source, `more than ${formatBytes(limits.maxBytes)}`));
    }
  };
  const timer = setInterval(() => {
    running ??= look()
      // git may delete files during a round. The next round sees the result.
      .catch(() => {})
      .finally(() => {
        running = null;
      });
  }, watchIntervalMs);
  return {
    signal: exceeded.signal,
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      await running;
    },
  };
}

export function tooLarge(source: RepositorySource, what: string): AirlockError {
  return new AirlockError(`the repository ${source.displayUrl} is too large: ${what}`, {
    code: "repository-too-large",
    hint: "Use a smaller repository, or raise AIRLOCK_MAXIMUM_REPOSITORY_SIZE or AIRLOCK_MAXIMUM_REPOSITORY_OBJECTS of the instance.",
    reason: "checkout-invalid",
  });
}

/** Number of objects in all packs, including those that are still arriving. */
async function announcedObjects(directory: string): Promise<number> {
  const packs = path.join(directory, "objects/pack");
  let total = 0;
  for (const name of await readdir(packs)) {
    if (!name.startsWith("tmp_pack_") && !name.endsWith(".pack")) continue;
    await using file = await open(path.join(packs, name));
    const { buffer, bytesRead } = await file.read(Buffer.alloc(packHeaderBytes), 0, packHeaderBytes, 0);
    if (bytesRead === packHeaderBytes && buffer.toString("latin1", 0, 4) === "PACK") total += buffer.readUInt32BE(8);
  }
  return total;
}

/** Size on disk. Many small files take more than their contents. */
export async function usedBytes(directory: string): Promise<number> {
  let total = 0;
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const stats = await stat(path.join(entry.parentPath, entry.name)).catch(() => null); // A fetch replaced it.
    total += stats ? stats.blocks * 512 : 0;
  }
  return total;
}

/** Checks again after the fetch, because the watch may have been too slow. */
export async function exceededBy(directory: string, limits: MirrorLimits): Promise<string | null> {
  if ((await announcedObjects(directory)) > limits.maxObjects) return `more than ${limits.maxObjects} objects`;
  if ((await usedBytes(directory)) > limits.maxBytes) return `more than ${formatBytes(limits.maxBytes)}`;
  return null;
}

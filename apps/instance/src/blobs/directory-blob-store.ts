import { randomUUID } from "node:crypto";
import { constants, type Dirent } from "node:fs";
import { chmod, type FileHandle, lstat, mkdir, open, readdir, realpath, rename, rm, rmdir } from "node:fs/promises";
import path from "node:path";
import { addAbortSignal, type Readable } from "node:stream";
import { AirlockError, errorMessage } from "@airlock/job";
import { checkBlobKey, checkBlobPrefix } from "./blob-key.ts";
import { BlobMeter } from "./blob-meter.ts";
import { checkBlobRange, rangeError } from "./blob-range.ts";
import type {
  BlobContent,
  BlobEntry,
  BlobOptions,
  BlobStore,
  GetBlobOptions,
  PutBlobOptions,
  StoredBlob,
} from "./blob-store.ts";

export interface DirectoryBlobStoreOptions {
  /**
   * Created if missing, with access for this account only. Only one process may use it: a start deletes what a crash
   * left.
   */
  readonly directory: string;
}

/**
 * Stores blobs as files. They survive a power cut: `put` resolves after the file and its directories are synchronized.
 * @throws {AirlockError} `blob-store-unusable`.
 */
export async function createDirectoryBlobStore({ directory }: DirectoryBlobStoreOptions): Promise<BlobStore> {
  const root = path.resolve(directory);
  const blobs = path.join(root, "blobs");
  const incoming = path.join(root, "incoming");
  try {
    await mkdir(root, { recursive: true, mode: 0o700 });
    await rm(incoming, { recursive: true, force: true });
    for (const each of [blobs, incoming]) {
      await mkdir(each, { recursive: true, mode: 0o700 });
      if (!(await lstat(each)).isDirectory()) throw new Error(`${each} is not a directory`);
      await chmod(each, 0o700);
    }
    return new DirectoryBlobStore(await realpath(blobs), await realpath(incoming));
  } catch (cause) {
    throw new AirlockError(`cannot store blobs in ${root}: ${errorMessage(cause)}`, {
      code: "blob-store-unusable",
      hint: "Make the directory writable for this account, or choose another one.",
      cause,
    });
  }
}

/** A key may be the parent of another (`a` and `a/b`), so file names end in a character that no key contains. */
const fileSuffix = "@";

class DirectoryBlobStore implements BlobStore {
  readonly #blobs: string;
  readonly #incoming: string;

  constructor(blobs: string, incoming: string) {
    this.#blobs = blobs;
    this.#incoming = incoming;
  }

  async put(key: string, body: Readable, { signal, maxBytes }: PutBlobOptions): Promise<StoredBlob> {
    const temporary = path.join(this.#incoming, randomUUID());
    try {
      checkBlobKey(key);
      signal.throwIfAborted();
      const handle = await open(temporary, "wx", 0o600).catch(storeFailed);
      const meter = new BlobMeter(maxBytes);
      try {
        await writeAll(handle, meter.measure(body, signal));
        await handle.sync().catch(storeFailed);
      } finally {
        await handle.close();
      }
      signal.throwIfAborted();
      await this.#publish(temporary, this.#file(key));
      return meter.finish();
    } catch (error) {
      body.destroy();
      await rm(temporary, { force: true });
      signal.throwIfAborted();
      throw error;
    }
  }

  async get(key: string, { range, signal }: GetBlobOptions): Promise<BlobContent | null> {
    checkBlobKey(key);
    if (range) checkBlobRange(range);
    signal.throwIfAborted();
    const handle = await this.#open(this.#file(key));
    if (!handle) return null;
    try {
      const stats = await handle.stat();
      if (!stats.isFile()) throw damaged(key);
      // `addAbortSignal` would destroy a stream that nothing listens to yet, and its error would end the process.
      signal.throwIfAborted();
      const totalBytes = stats.size;
      const start = range?.offset ?? 0;
      if (range && start >= totalBytes) throw rangeError(range);
      const bytes = Math.min(range?.length ?? Number.POSITIVE_INFINITY, totalBytes - start);
      // Node.js refuses an `end` before `start`, so an empty blob is read without bounds.
      const stream = handle.createReadStream(bytes > 0 ? { start, end: start + bytes - 1 } : {});
      return { stream: addAbortSignal(signal, stream), bytes, totalBytes };
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  async delete(key: string, { signal }: BlobOptions): Promise<void> {
    checkBlobKey(key);
    signal.throwIfAborted();
    const file = this.#file(key);
    if (!(await this.#isReal(path.dirname(file)))) return;
    await rm(file, { force: true }).catch(storeFailed);
    await this.#removeEmptyDirectories(path.dirname(file));
  }

  async deletePrefix(prefix: string, { signal }: BlobOptions): Promise<void> {
    checkBlobPrefix(prefix);
    signal.throwIfAborted();
    const directory = path.join(this.#blobs, prefix.slice(0, -1));
    if (!(await this.#isReal(path.dirname(directory)))) return;
    // Rename it first, so that readers lose it at once. The next start deletes what a crash leaves in `incoming`.
    const doomed = path.join(this.#incoming, randomUUID());
    try {
      await rename(directory, doomed);
    } catch (error) {
      if (isMissing(error)) return;
      storeFailed(error);
    }
    await this.#removeEmptyDirectories(path.dirname(directory));
    await rm(doomed, { recursive: true, force: true }).catch(storeFailed);
  }

  async *list(prefix: string, { signal }: BlobOptions): AsyncGenerator<BlobEntry> {
    if (prefix !== "") checkBlobPrefix(prefix);
    signal.throwIfAborted();
    if (await this.#isReal(path.join(this.#blobs, prefix))) yield* this.#walk(prefix, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  async *#walk(prefix: string, signal: AbortSignal): AsyncGenerator<BlobEntry> {
    const directory = path.join(this.#blobs, prefix);
    const names = (await readdir(directory, { withFileTypes: true }).catch(noEntries)).flatMap(namePart);
    names.sort((left, right) => (left < right ? -1 : 1));
    for (const name of names) {
      signal.throwIfAborted();
      if (name.endsWith("/")) {
        yield* this.#walk(prefix + name, signal);
        continue;
      }
      const stats = await lstat(this.#file(prefix + name)).catch(missingAsNull);
      if (stats?.isFile()) yield { key: prefix + name, bytes: stats.size };
    }
  }

  #file(key: string): string {
    return path.join(this.#blobs, `${key}${fileSuffix}`);
  }

  async #open(file: string): Promise<FileHandle | null> {
    if (!(await this.#isReal(path.dirname(file)))) return null;
    try {
      return await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    } catch (error) {
      if (isMissing(error)) return null;
      if ((error as NodeJS.ErrnoException).code === "ELOOP") throw damaged(path.relative(this.#blobs, file));
      return storeFailed(error);
    }
  }

  /**
   * Returns false if the directory doesn't exist. Throws if the path contains a symbolic link: the store never creates
   * one.
   */
  async #isReal(directory: string): Promise<boolean> {
    const real = await realpath(directory).catch(missingAsNull);
    if (real === null) return false;
    if (real !== path.resolve(directory)) throw damaged(path.relative(this.#blobs, directory));
    return true;
  }

  async #publish(temporary: string, file: string): Promise<void> {
    const parent = path.dirname(file);
    for (let tries = 0; ; tries++) {
      try {
        const firstMade = await mkdir(parent, { recursive: true, mode: 0o700 });
        await this.#isReal(parent);
        await rename(temporary, file);
        await syncDirectories(parent, firstMade === undefined ? parent : path.dirname(firstMade));
        return;
      } catch (error) {
        // Another call removed the parent (as empty, or with its prefix) after we created it and before the rename.
        if (!isMissing(error) || tries === 20) storeFailed(error);
      }
    }
  }

  async #removeEmptyDirectories(directory: string): Promise<void> {
    for (let each = directory; each !== this.#blobs; each = path.dirname(each)) {
      try {
        await rmdir(each);
      } catch (error) {
        if (isMissing(error)) continue;
        const { code } = error as NodeJS.ErrnoException;
        if (code === "ENOTEMPTY" || code === "EEXIST") return;
        storeFailed(error);
      }
    }
  }
}

async function writeAll(handle: FileHandle, chunks: AsyncIterable<Buffer>): Promise<void> {
  for await (const chunk of chunks) {
    for (let written = 0; written < chunk.length; ) {
      written += (await handle.write(chunk, written).catch(storeFailed)).bytesWritten;
    }
  }
}

/** Synchronizes every directory from `deepest` up to `last`. */
async function syncDirectories(deepest: string, last: string): Promise<void> {
  for (let each = deepest; ; each = path.dirname(each)) {
    await using handle = await open(each, constants.O_RDONLY | constants.O_DIRECTORY);
    await handle.sync();
    if (each === last) return;
  }
}

/** The next part of the key. A directory's part ends with `/`, so that sorting gives the order of whole keys. */
function namePart(entry: Dirent): string[] {
  if (entry.isDirectory()) return [`${entry.name}/`];
  return entry.isFile() && entry.name.endsWith(fileSuffix) ? [entry.name.slice(0, -fileSuffix.length)] : [];
}

function isMissing(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "ENOENT" || code === "ENOTDIR";
}

function missingAsNull(error: unknown): null {
  return isMissing(error) ? null : storeFailed(error);
}

function noEntries(error: unknown): Dirent[] {
  return isMissing(error) ? [] : storeFailed(error);
}

function damaged(what: string): AirlockError {
  return new AirlockError(`${JSON.stringify(what)} in the blob store is not a regular file with one name`, {
    code: "blob-store-damaged",
    hint: "Another program wrote into the blob store's directory. Remove that file.",
  });
}

function storeFailed(cause: unknown): never {
  if (cause instanceof AirlockError) throw cause;
  const { code } = cause as NodeJS.ErrnoException;
  const isFull = code === "ENOSPC" || code === "EDQUOT";
  throw new AirlockError(`the blob store failed: ${errorMessage(cause)}`, {
    code: isFull ? "blob-store-full" : "blob-store-failed",
    hint: isFull ? "Free space on the blob store's disk." : "Check the blob store's directory and its disk.",
    cause,
  });
}

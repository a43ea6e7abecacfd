import { createHash, randomUUID } from "node:crypto";
import { createReadStream, type ReadStream } from "node:fs";
import { mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Abortable } from "../../contract/index.ts";
import { errorCode } from "../../host/error-code.ts";

/** The content from a source does not match the promised digest. */
export class BlobMismatchError extends Error {
  override readonly name: string = "BlobMismatchError";
}

/** The source ended before the blob was complete. Another attempt may succeed. */
export class BlobIncompleteError extends BlobMismatchError {
  override readonly name: string = "BlobIncompleteError";
}

/**
 * A store of content-addressed files. A blob appears under its digest only when it is complete and verified. So several
 * processes may share the directory, and a killed process leaves nothing that looks like a blob.
 */
export class BlobStore {
  readonly #directory: string;
  readonly #temporaryDirectory: string;

  constructor(directory: string, temporaryDirectory: string) {
    this.#directory = directory;
    this.#temporaryDirectory = temporaryDirectory;
  }

  path(digest: string): string {
    return join(this.#directory, digest.replace(":", "-"));
  }

  async has(digest: string): Promise<boolean> {
    try {
      await stat(this.path(digest));
      return true;
    } catch (error) {
      if (errorCode(error) === "ENOENT") return false;
      throw error;
    }
  }

  async size(digest: string): Promise<number> {
    return (await stat(this.path(digest))).size;
  }

  read(digest: string): Promise<Buffer> {
    return readFile(this.path(digest));
  }

  stream(digest: string): ReadStream {
    return createReadStream(this.path(digest), { highWaterMark: 256 * 1024 });
  }

  /**
   * Writes a blob. Without an expected digest it accepts any content up to `maxBytes`. Returns the content's digest and
   * size.
   * @throws {BlobMismatchError} when the content has another digest or more than `maxBytes` bytes.
   * @throws {BlobIncompleteError} when it has another digest and fewer bytes.
   */
  async write(
    content: AsyncIterable<Uint8Array>,
    options: Abortable & {
      readonly digest?: string;
      readonly maxBytes: number;
      readonly progress?: (bytes: number) => void;
    },
  ): Promise<{ readonly digest: string; readonly size: number }> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const temporary = join(this.#temporaryDirectory, `${process.pid}-${randomUUID()}`);
    try {
      const hash = createHash("sha256");
      let size = 0;
      await using file = await open(temporary, "wx", 0o600);
      for await (const chunk of content) {
        options.signal.throwIfAborted();
        size += chunk.byteLength;
        if (size > options.maxBytes) throw new BlobMismatchError(`it has more than ${options.maxBytes} bytes`);
        hash.update(chunk);
        // FileHandle.write may write only a part. writeFile on a handle continues at the current position and writes
        // everything.
        await file.writeFile(chunk);
        options.progress?.(chunk.byteLength);
      }
      const digest = `sha256:${hash.digest("hex")}`;
      if (options.digest !== undefined && digest !== options.digest) {
        if (size < options.maxBytes)
          throw new BlobIncompleteError(`it ended after ${size} of ${options.maxBytes} bytes`);
        throw new BlobMismatchError(`its content has the digest ${digest}, not ${options.digest}`);
      }
      await file.sync();
      await rename(temporary, this.path(digest));
      return { digest, size };
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  }
}

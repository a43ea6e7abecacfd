import { createHash } from "node:crypto";
import { PassThrough, type Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { AirlockError, formatBytes } from "@airlock/job";
import type { StoredBlob } from "./blob-store.ts";

/** Counts and hashes the bytes that pass through. */
export class BlobMeter {
  readonly #hash = createHash("sha256");
  readonly #maxBytes: number;
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /**
   * Passes the chunks of `body` through. Destroys `body` if it isn't read to its end or `signal` is aborted.
   * @throws {AirlockError} `blob-too-large` before the chunk that exceeds the limit passes.
   */
  async *measure(body: Readable, signal: AbortSignal): AsyncGenerator<Buffer> {
    // A stream made from a generator can't end while the generator waits for data. A PassThrough can.
    const passed = new PassThrough();
    pipeline(body, passed, { signal }).catch(() => {
      // The reader of `passed` gets the error.
    });
    for await (const chunk of passed as AsyncIterable<Buffer>) {
      this.#bytes += chunk.length;
      if (this.#bytes > this.#maxBytes) {
        throw new AirlockError(`more than ${formatBytes(this.#maxBytes)}`, {
          code: "blob-too-large",
          hint: "Reduce its size, or raise the limit.",
        });
      }
      this.#hash.update(chunk);
      yield chunk;
    }
  }

  /** Call it after everything has passed. */
  finish(): StoredBlob {
    return { bytes: this.#bytes, sha256: this.#hash.digest("hex") };
  }
}

import type { Readable } from "node:stream";

/**
 * Stores artifacts, workspace diffs and log archives. A blob is written once and as a whole: a reader sees all of it or
 * nothing, even if the writer crashes.
 *
 * Keys are paths that the instance makes up, such as `jobs/42/attempts/1/artifacts.tar`. A key has at most 512
 * characters. Its segments match `[a-z0-9._-]{1,128}` and are not `.` or `..`. A prefix is such a path with a `/` at
 * its end, so that `jobs/4/` never matches `jobs/42/`.
 *
 * Every method throws an {@link AirlockError} with code `blob-key-invalid` for any other key. If the store fails, it
 * throws `blob-store-*` with a hint. An aborted call rejects with the signal's reason.
 */
export interface BlobStore extends AsyncDisposable {
  /**
   * Streams `body` into the blob `key` and replaces an earlier one. Destroys `body` unless it succeeds. If several
   * calls for one key run at the same time, the blob is the complete body of one of them. Memory use does not depend
   * on the size.
   * @throws {AirlockError} `blob-too-large` past `maxBytes`. An error while reading `body` is thrown as it is. In both
   * cases, and when aborted, nothing of the new blob is left.
   */
  put(key: string, body: Readable, options: PutBlobOptions): Promise<StoredBlob>;

  /**
   * Returns `null` if the blob doesn't exist. The caller must read the stream to its end or destroy it.
   * @throws {AirlockError} `blob-range-invalid` when the range begins at or past the end, or is empty.
   */
  get(key: string, options: GetBlobOptions): Promise<BlobContent | null>;

  /** Deleting a missing blob is not an error. */
  delete(key: string, options: BlobOptions): Promise<void>;

  /** Deletes every blob below `prefix`, e.g. `jobs/42/`. A blob that is put there meanwhile may or may not survive. */
  deletePrefix(prefix: string, options: BlobOptions): Promise<void>;

  /** Lists the blobs below `prefix`, or all with `""`, in byte order of their keys. Reads them in pages. */
  list(prefix: string, options: BlobOptions): AsyncIterable<BlobEntry>;
}

export interface BlobOptions {
  readonly signal: AbortSignal;
}

export interface PutBlobOptions extends BlobOptions {
  readonly maxBytes: number;
}

export interface GetBlobOptions extends BlobOptions {
  /** Part of the blob to read. A range that reaches past the end is cut there. `length` absent: up to the end. */
  readonly range?: { readonly offset: number; readonly length?: number };
}

export interface StoredBlob {
  readonly bytes: number;
  /** Hash of the contents, 64 hexadecimal digits. */
  readonly sha256: string;
}

export interface BlobContent {
  readonly stream: Readable;
  /** Number of bytes in the stream. */
  readonly bytes: number;
  /** Size of the whole blob; more than `bytes` for a range. */
  readonly totalBytes: number;
}

export interface BlobEntry {
  readonly key: string;
  readonly bytes: number;
}

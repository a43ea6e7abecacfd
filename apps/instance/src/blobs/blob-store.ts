import type { Readable } from "node:stream";

/**
 * Where artifacts, workspace diffs and log archives lie. Blobs are written once and whole: a reader sees all of a blob or
 * none of it, also when the writer dies.
 *
 * Keys are paths of ours such as `jobs/42/attempts/1/artifacts.tar`: segments of `[a-z0-9._-]`, at most 512 characters,
 * no segment `.` or `..` or longer than 128. A prefix is such a path with a `/` at its end, so that `jobs/4/` never means
 * `jobs/42/`. Every method throws an {@link AirlockError} of code `blob-key-invalid` for anything else, and
 * `blob-store-*` with a hint where the store fails. An aborted call rejects with the signal's reason.
 */
export interface BlobStore extends AsyncDisposable {
  /**
   * Streams `body`, which is destroyed on every way out but success, into the blob `key`; replaces an earlier one. Of
   * several that run at once for one key, one wins, whole. Memory does not grow with the size.
   * @throws {AirlockError} `blob-too-large` past `maxBytes`; what failed to be read from `body` is thrown as it is. In
   * both cases, and when aborted, nothing of the new blob is left.
   */
  put(key: string, body: Readable, options: PutBlobOptions): Promise<StoredBlob>;

  /**
   * `null`: no such blob. Whoever gets a stream reads it to its end or destroys it.
   * @throws {AirlockError} `blob-range-invalid` when the range begins at or past the end, or is empty.
   */
  get(key: string, options: GetBlobOptions): Promise<BlobContent | null>;

  /** Deleting what is not there is not an error. */
  delete(key: string, options: BlobOptions): Promise<void>;

  /** Deletes every blob below `prefix`, e.g. `jobs/42/`. What is put there meanwhile may or may not stay. */
  deletePrefix(prefix: string, options: BlobOptions): Promise<void>;

  /** The blobs below `prefix`, or all with `""`, in byte order of their keys, read in pages. */
  list(prefix: string, options: BlobOptions): AsyncIterable<BlobEntry>;
}

export interface BlobOptions {
  readonly signal: AbortSignal;
}

export interface PutBlobOptions extends BlobOptions {
  readonly maxBytes: number;
}

export interface GetBlobOptions extends BlobOptions {
  /** A part of the blob; one that reaches past the end is cut there. `length` absent: up to the end. */
  readonly range?: { readonly offset: number; readonly length?: number };
}

export interface StoredBlob {
  readonly bytes: number;
  /** Of the contents, 64 hexadecimal digits. */
  readonly sha256: string;
}

export interface BlobContent {
  readonly stream: Readable;
  /** What the stream brings. */
  readonly bytes: number;
  /** The whole blob; more than `bytes` for a range. */
  readonly totalBytes: number;
}

export interface BlobEntry {
  readonly key: string;
  readonly bytes: number;
}

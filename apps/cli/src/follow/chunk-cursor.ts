/** The offset at which the output of one entry of one attempt continues. */
interface Position {
  next: number;
}

export interface NewOutput {
  readonly bytes: Buffer;
  /** Number of bytes in the gap before these ones, which the instance no longer has. */
  readonly missing: number;
}

/**
 * Remembers how much of each log entry was seen, so that chunks resent after a reconnection are printed only once. The
 * streams of an entry share its offsets.
 */
export class ChunkCursor {
  readonly #positions = new Map<string, Position>();

  /** Number of bytes of an entry seen so far, including missing ones. */
  seen(entry: { readonly attempt: number; readonly entryId: number }): number {
    return this.#positions.get(`${entry.attempt}.${entry.entryId}`)?.next ?? 0;
  }

  /** Returns the new part of a chunk, or `undefined` if all of it was seen before. */
  take(chunk: {
    readonly attempt: number;
    readonly entryId: number;
    readonly offset: number;
    readonly data: string;
  }): NewOutput | undefined {
    const key = `${chunk.attempt}.${chunk.entryId}`;
    const position = this.#positions.get(key) ?? { next: 0 };
    const bytes = Buffer.from(chunk.data, "base64");
    const end = chunk.offset + bytes.length;
    if (end <= position.next) return undefined;
    const missing = Math.max(0, chunk.offset - position.next);
    const fresh = bytes.subarray(Math.max(0, position.next - chunk.offset));
    position.next = end;
    this.#positions.set(key, position);
    return { bytes: fresh, missing };
  }
}

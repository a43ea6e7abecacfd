/** Where one entry's output of one attempt goes on. */
interface Position {
  next: number;
}

export interface NewOutput {
  readonly bytes: Buffer;
  /** Bytes that never came: the instance no longer has them. */
  readonly missing: number;
}

/**
 * Remembers how much of each log entry was seen, so that chunks sent again after a reconnection are printed once.
 * Streams of one entry share its offsets.
 */
export class ChunkCursor {
  readonly #positions = new Map<string, Position>();

  /** How many bytes of an entry have come. */
  seen(entry: { readonly attempt: number; readonly entryId: number }): number {
    return this.#positions.get(`${entry.attempt}.${entry.entryId}`)?.next ?? 0;
  }

  /** What of a chunk is new; `undefined` when nothing is. */
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

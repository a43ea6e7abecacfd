import { type AppendResult, LineBuffer, type LogStream } from "./line-buffer.ts";

const notifyEveryMs = 30;

interface LogChunk {
  readonly offset: number;
  readonly stream: LogStream;
  readonly bytes: Uint8Array;
}

/**
 * All output of one job so far, by attempt and entry. Listeners are told of the first change at once, and of further
 * ones at most once per 30 ms. A step may send far more chunks than a person can see.
 */
export class JobLog {
  private readonly buffers = new Map<string, LineBuffer>();
  private readonly listeners = new Set<() => void>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private changes = 0;
  private notifiedAt = 0;

  /** Number of changes: a snapshot for `useSyncExternalStore`. */
  readonly version = (): number => this.changes;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** The output of the entry so far. The buffer grows in place. */
  buffer(attempt: number, entryId: number): LineBuffer {
    const key = `${attempt}.${entryId}`;
    let buffer = this.buffers.get(key);
    if (buffer === undefined) {
      buffer = new LineBuffer();
      this.buffers.set(key, buffer);
    }
    return buffer;
  }

  /** @param receivedAtMs when the instance received the chunk, if it is known. */
  append(attempt: number, entryId: number, chunk: LogChunk, receivedAtMs: number | undefined): AppendResult {
    const result = this.buffer(attempt, entryId).append(chunk.offset, chunk.stream, chunk.bytes, receivedAtMs);
    if (result.kind === "appended") this.notify();
    return result;
  }

  note(attempt: number, entryId: number, noteId: number, text: string): void {
    if (this.buffer(attempt, entryId).note(noteId, text)) this.notify();
  }

  private notify(): void {
    this.timer ??= setTimeout(
      () => {
        this.timer = undefined;
        this.notifiedAt = performance.now();
        this.changes += 1;
        for (const listener of this.listeners) listener();
      },
      Math.max(0, this.notifiedAt + notifyEveryMs - performance.now()),
    );
  }
}

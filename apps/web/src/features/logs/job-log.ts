import { type AppendResult, LineBuffer, type LogStream } from "./line-buffer.ts";

const notifyEveryMs = 30;

/**
 * All output of one job that has arrived, by attempt and entry. Listeners hear of the first change at once and of
 * further ones a few dozen times a second: a chatty step sends more chunks than anyone can see.
 */
export class JobLog {
  private readonly buffers = new Map<string, LineBuffer>();
  private readonly listeners = new Set<() => void>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private changes = 0;
  private notifiedAt = 0;

  /** Counts changes: a snapshot for `useSyncExternalStore`. */
  readonly version = (): number => this.changes;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** The entry's output so far; grows in place. */
  buffer(attempt: number, entryId: number): LineBuffer {
    const key = `${attempt}.${entryId}`;
    let buffer = this.buffers.get(key);
    if (buffer === undefined) {
      buffer = new LineBuffer();
      this.buffers.set(key, buffer);
    }
    return buffer;
  }

  append(attempt: number, entryId: number, offset: number, stream: LogStream, data: Uint8Array): AppendResult {
    const result = this.buffer(attempt, entryId).append(offset, stream, data);
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

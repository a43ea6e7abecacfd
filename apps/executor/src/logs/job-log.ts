import { setTimeout as sleep } from "node:timers/promises";
import { maxNoteBytesPerAttempt, maxNoteLength, maxNotesPerAttempt } from "@airlock/api";
import { formatBytes, hideUrlCredentials } from "@airlock/job";
import { replaceUnprintable } from "@airlock/terminal-text";
import { LogRate } from "./log-rate.ts";
import type { LogDelivery, LogSink, OutputStream } from "./log-sink.ts";
import { maskSecrets } from "./mask-secrets.ts";
import type { SecretMatcher } from "./secret-matcher.ts";
import { StreamRedactor } from "./stream-redactor.ts";

/** The log of one command of a job. */
export interface LogEntry {
  /** Await a returned promise before the next write. */
  write(stream: OutputStream, bytes: Buffer): void | Promise<void>;
  /** Adds a message of the executor, separate from the output. */
  note(text: string): void;
  /** Ends the entry. Later calls have no effect. -1: the command ended without an exit code. */
  close(exitCode: number): void;
}

export interface JobLogOptions {
  readonly sink: LogSink;
  readonly secrets: SecretMatcher;
  /** Limit for the output of all entries together. Output beyond it is counted and dropped. */
  readonly maximumBytes: number;
  /** Output beyond this rate is read more slowly, so that the step waits. 0: no limit. */
  readonly maximumBytesPerSecond?: number;
  /** Called at each entry's end. */
  readonly onClosed?: (key: string, exitCode: number, durationMs: number) => void;
}

/**
 * Overhead that an instance stores for each piece of a stream. A step that alternates between its two streams has it
 * deducted from its limit.
 */
const switchBytes = 64;
/** Instances reject longer keys. */
const maximumKeyLength = 1000;

/** The log of one attempt. Redacts secrets, enforces the limits, and forwards to the sink. */
export class JobLog {
  readonly #options: JobLogOptions;
  readonly #rate: LogRate;
  #remainingBytes: number;
  #remainingNotes = maxNotesPerAttempt;
  #remainingNoteBytes = maxNoteBytesPerAttempt;

  constructor(options: JobLogOptions) {
    this.#options = options;
    this.#rate = new LogRate(options.maximumBytesPerSecond ?? 0);
    this.#remainingBytes = options.maximumBytes;
  }

  open(key: string, command: readonly string[] = []): LogEntry {
    const { sink, secrets, maximumBytes } = this.#options;
    const started = performance.now();
    const entryId = sink.open({
      key: redactText(secrets, key).slice(0, maximumKeyLength),
      command: command.map((word) => redactText(secrets, word)),
      startTime: new Date(),
    });
    const redactors = { stdout: new StreamRedactor(secrets), stderr: new StreamRedactor(secrets) };
    let droppedBytes = 0;
    let closed = false;
    let lastStream: OutputStream | undefined;
    let toldOfRate = false;

    const pass = (stream: OutputStream, pieces: readonly Buffer[]): void | Promise<void> => {
      const waits: Promise<void>[] = [];
      for (const piece of pieces) {
        if (lastStream !== undefined && lastStream !== stream) {
          this.#remainingBytes = Math.max(0, this.#remainingBytes - switchBytes);
        }
        lastStream = stream;
        const kept = piece.subarray(0, this.#remainingBytes);
        this.#remainingBytes -= kept.length;
        droppedBytes += piece.length - kept.length;
        if (kept.length === 0) continue;
        const wait = sink.append(entryId, stream, kept);
        if (wait) waits.push(wait);
      }
      if (waits.length > 0) return Promise.all(waits).then(() => {});
    };
    const say = (text: string): void => this.#note(entryId, text);
    const slowDown = async (ms: number, stored: void | Promise<void>): Promise<void> => {
      if (!toldOfRate)
        say(`the step is slowed down: its output is limited to ${formatBytes(this.#rate.bytesPerSecond)}/s`);
      toldOfRate = true;
      await Promise.all([stored, sleep(ms)]);
    };

    return {
      write: (stream, bytes) => {
        if (closed) return;
        const waitMs = this.#rate.take(bytes.length);
        // Once the log is full, output is no longer inspected, so that a flood costs only the reading.
        const isFull = this.#remainingBytes === 0;
        if (isFull) droppedBytes += bytes.length;
        const stored = isFull ? undefined : pass(stream, redactors[stream].write(bytes));
        return waitMs > 0 ? slowDown(waitMs, stored) : stored;
      },
      note: (text) => {
        if (!closed) say(text);
      },
      close: (exitCode) => {
        if (closed) return;
        for (const stream of ["stdout", "stderr"] as const) void pass(stream, redactors[stream].end());
        if (droppedBytes > 0) {
          say(
            `${formatBytes(droppedBytes)} of output dropped: the job's log is limited to ${formatBytes(maximumBytes)}`,
          );
        }
        closed = true;
        const durationMs = performance.now() - started;
        sink.close(entryId, exitCode, durationMs);
        this.#options.onClosed?.(key, exitCode, durationMs);
      },
    };
  }

  #note(entryId: number, text: string): void {
    const { sink, secrets } = this.#options;
    // The text may contain names of files, images and hosts that the job chose.
    const safe = redactText(secrets, text)
      .trimEnd()
      .split("\n")
      .map((line) => replaceUnprintable(line, "\ufffd"));
    const note = safe.join("\n").toWellFormed().slice(0, maxNoteLength).toWellFormed();
    const bytes = Buffer.byteLength(note);
    if (note === "" || this.#remainingNotes === 0) return;
    // The last note announces that further ones are left out.
    const isLast = this.#remainingNotes === 1 || this.#remainingNoteBytes - bytes < maxNoteLength;
    this.#remainingNotes = isLast ? 0 : this.#remainingNotes - 1;
    this.#remainingNoteBytes -= bytes;
    sink.note(entryId, isLast ? "the executor leaves out further notes: there are too many" : note);
  }

  /** Masks secrets in a file's path with a fixed word, because a replacement text could contain `/`. */
  maskPath(path: Buffer): Buffer {
    return maskSecrets(this.#options.secrets, path);
  }

  /** Waits until the log is delivered or the signal aborts. */
  async finish(signal: AbortSignal): Promise<LogDelivery> {
    return await this.#options.sink.finish(signal);
  }
}

/** Removes secrets and credentials in URLs from a complete text, such as an argument or an error message. */
export function redactText(secrets: SecretMatcher, text: string): string {
  const redactor = new StreamRedactor(secrets);
  return hideUrlCredentials(Buffer.concat([...redactor.write(Buffer.from(text)), ...redactor.end()]).toString());
}

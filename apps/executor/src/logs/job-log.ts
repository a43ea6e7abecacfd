import { formatBytes } from "@airlock/job";
import type { LogDelivery, LogSink, OutputStream } from "./log-sink.ts";
import type { SecretMatcher } from "./secret-matcher.ts";
import { StreamRedactor } from "./stream-redactor.ts";

/** Begins lines that the executor writes into a job's log. A step can print the same: nothing may rely on it. */
const ownVoice = "[airlock]";

/** One logged command of a job. */
export interface LogEntry {
  /** A returned promise is to be awaited before more is written. */
  write(stream: OutputStream, bytes: Buffer): void | Promise<void>;
  /** A line in the executor's own voice. */
  note(text: string): void;
  /** Ends the entry; the first call counts. -1: it did not get so far as to have an exit code. */
  close(exitCode: number): void;
}

export interface JobLogOptions {
  readonly sink: LogSink;
  readonly secrets: SecretMatcher;
  /** Bytes of output over all entries; what comes after them is counted and dropped. */
  readonly maximumBytes: number;
}

/** The log of one attempt: redacts, keeps to the limit, passes on. */
export class JobLog {
  readonly #options: JobLogOptions;
  #remainingBytes: number;

  constructor(options: JobLogOptions) {
    this.#options = options;
    this.#remainingBytes = options.maximumBytes;
  }

  open(key: string, command: readonly string[] = []): LogEntry {
    const { sink, secrets, maximumBytes } = this.#options;
    const started = performance.now();
    const entryId = sink.open({
      key,
      command: command.map((word) => redactText(secrets, word)),
      startTime: new Date(),
    });
    const redactors = { stdout: new StreamRedactor(secrets), stderr: new StreamRedactor(secrets) };
    let droppedBytes = 0;
    let closed = false;

    const pass = (stream: OutputStream, pieces: readonly Buffer[]): void | Promise<void> => {
      const waits: Promise<void>[] = [];
      for (const piece of pieces) {
        const kept = piece.subarray(0, this.#remainingBytes);
        this.#remainingBytes -= kept.length;
        droppedBytes += piece.length - kept.length;
        const wait = kept.length > 0 ? sink.append(entryId, stream, kept) : undefined;
        if (wait) waits.push(wait);
      }
      if (waits.length > 0) return Promise.all(waits).then(() => {});
    };

    return {
      write: (stream, bytes) => {
        if (closed) return;
        // Past the limit nothing is looked at any more: a flood costs no more than reading it.
        if (this.#remainingBytes === 0) {
          droppedBytes += bytes.length;
          return;
        }
        return pass(stream, redactors[stream].write(bytes));
      },
      note: (text) => {
        if (closed) return;
        const line = redactText(secrets, text.trimEnd().replaceAll("\n", `\n${ownVoice} `));
        void sink.append(entryId, "stderr", Buffer.from(`${ownVoice} ${line}\n`));
      },
      close: (exitCode) => {
        if (closed) return;
        for (const stream of ["stdout", "stderr"] as const) void pass(stream, redactors[stream].end());
        closed = true;
        if (droppedBytes > 0) {
          const text = `${ownVoice} ${formatBytes(droppedBytes)} of output dropped: the job's log is limited to ${formatBytes(maximumBytes)}`;
          void sink.append(entryId, "stderr", Buffer.from(`\n${text}\n`));
        }
        sink.close(entryId, exitCode, performance.now() - started);
      },
    };
  }

  /** Waits until the log is with the instance, or the signal ends the wait. */
  async finish(signal: AbortSignal): Promise<LogDelivery> {
    return await this.#options.sink.finish(signal);
  }
}

/** Text that is whole, such as a command's argument or an error's message. */
export function redactText(secrets: SecretMatcher, text: string): string {
  const redactor = new StreamRedactor(secrets);
  return Buffer.concat([...redactor.write(Buffer.from(text)), ...redactor.end()]).toString();
}

export type OutputStream = "stdout" | "stderr";

/** What begins a log entry. */
export interface LogEntryHeader {
  readonly key: string;
  readonly command: readonly string[];
  readonly startTime: Date;
}

/** Brings a job's log to the instance, in order. Takes only what was redacted and is within the job's limit. */
export interface LogSink {
  /** Opens an entry; the number names it in the other calls, from 1. */
  open(header: LogEntryHeader): number;

  /** A returned promise is to be awaited before more is given: the sink's memory is full. */
  append(entryId: number, stream: OutputStream, bytes: Buffer): void | Promise<void>;

  /** Adds a message of the executor to an entry, after the output that came before. */
  note(entryId: number, text: string): void;

  close(entryId: number, exitCode: number, durationMs: number): void;

  /**
   * Ends the log: waits until everything was delivered, was refused, or the signal ends the wait. Never throws: the
   * state of the log is no part of the job's result.
   */
  finish(signal: AbortSignal): Promise<LogDelivery>;
}

export type LogDelivery = { readonly kind: "delivered" } | { readonly kind: "incomplete"; readonly problem: string };

export type OutputStream = "stdout" | "stderr";

export interface LogEntryHeader {
  readonly key: string;
  readonly command: readonly string[];
  readonly startTime: Date;
}

/**
 * Delivers a job's log to the instance, in order. Receives only text that was redacted and is within the job's limit.
 */
export interface LogSink {
  /** Opens an entry and returns its id for the other calls, counting from 1. */
  open(header: LogEntryHeader): number;

  /** The sink's memory is full while a returned promise is pending. Await it before the next call. */
  append(entryId: number, stream: OutputStream, bytes: Buffer): void | Promise<void>;

  /** Adds a message of the executor to an entry, after all earlier output. */
  note(entryId: number, text: string): void;

  close(entryId: number, exitCode: number, durationMs: number): void;

  /**
   * Ends the log. Waits until everything was delivered, was rejected, or the signal aborted the wait. Never throws,
   * because a log's delivery is not part of the job's result.
   */
  finish(signal: AbortSignal): Promise<LogDelivery>;
}

export type LogDelivery = { readonly kind: "delivered" } | { readonly kind: "incomplete"; readonly problem: string };

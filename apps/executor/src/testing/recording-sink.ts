import type { LogDelivery, LogEntryHeader, LogSink, OutputStream } from "../logs/log-sink.ts";

/** Keeps a log in memory, for tests that inspect it. */
export class RecordingSink implements LogSink {
  readonly entries: {
    key: string;
    command: readonly string[];
    text: string;
    notes: string[];
    exitCode: number | null;
  }[] = [];

  open({ key, command }: LogEntryHeader): number {
    return this.entries.push({ key, command, text: "", notes: [], exitCode: null });
  }

  append(entryId: number, _stream: OutputStream, bytes: Buffer): void {
    const entry = this.entries[entryId - 1];
    if (entry) entry.text += bytes.toString();
  }

  note(entryId: number, text: string): void {
    this.entries[entryId - 1]?.notes.push(text);
  }

  close(entryId: number, exitCode: number): void {
    const entry = this.entries[entryId - 1];
    if (entry) entry.exitCode = exitCode;
  }

  async finish(): Promise<LogDelivery> {
    return { kind: "delivered" };
  }
}

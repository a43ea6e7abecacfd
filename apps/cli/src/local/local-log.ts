import type { LogEntryView, LogEvent } from "@airlock/api";
import type { JobPrinter } from "../follow/job-printer.ts";

/** Prints the log events of an executor as those of an instance. */
export class LocalLog {
  readonly #printer: JobPrinter;
  readonly #entries = new Map<number, LogEntryView>();

  constructor(printer: JobPrinter) {
    this.#printer = printer;
  }

  async print(event: LogEvent): Promise<void> {
    const attempt = 1;
    const { entryId } = event;
    const entry = this.#entries.get(entryId);
    switch (event.kind) {
      case "open":
        return this.#update({
          attempt,
          entryId,
          key: event.key,
          command: event.command,
          startedAt: event.startTime,
          exitCode: null,
          durationMs: null,
          length: 0,
          notes: 0,
        });
      case "chunk": {
        if (entry)
          this.#entries.set(entryId, { ...entry, length: event.offset + Buffer.from(event.data, "base64").length });
        return this.#printer.print({ ...event, attempt });
      }
      case "note":
        if (entry) this.#entries.set(entryId, { ...entry, notes: event.noteId });
        return this.#printer.print({ ...event, attempt });
      case "close":
        if (entry) await this.#update({ ...entry, exitCode: event.exitCode, durationMs: event.durationMs });
    }
  }

  async #update(entry: LogEntryView): Promise<void> {
    this.#entries.set(entry.entryId, entry);
    await this.#printer.print({ kind: "entry", entry });
  }
}

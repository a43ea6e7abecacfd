import type { LogEntryFields } from "../instance-client/instance-client.ts";
import { LineBuffer } from "./line-buffer.ts";
import { type AfterRound, LogDeliveryLoop } from "./log-delivery.ts";
import type { LogDelivery, LogEntryHeader, LogSink, OutputStream } from "./log-sink.ts";

const updateIntervalMs = 1000;
/** Updates become rarer while entries are large, because each update sends the whole entry again. */
const bytesPerSecondOfWait = 4_000_000;

export interface WholeEntryRoutes {
  add(entry: LogEntryFields, signal: AbortSignal): Promise<number>;
  update(entryId: number, entry: LogEntryFields, signal: AbortSignal): Promise<void>;
}

interface Entry {
  readonly header: LogEntryHeader;
  readonly lines: LineBuffer;
  remoteId: number | undefined;
  changed: boolean;
  end: { readonly exitCode: number; readonly durationMs: number } | undefined;
}

/** For instances without `log-batch` and `log-notes`: resends the whole entry every time it grows. */
export class WholeEntrySink implements LogSink {
  readonly #routes: WholeEntryRoutes;
  readonly #entries: Entry[] = [];
  readonly #delivery: LogDeliveryLoop;

  constructor(routes: WholeEntryRoutes, { refusedMs = 30_000 }: { readonly refusedMs?: number } = {}) {
    this.#routes = routes;
    this.#delivery = new LogDeliveryLoop({
      round: (finishing, signal) => this.#sendChanged(finishing, signal),
      refusedMs,
    });
  }

  open(header: LogEntryHeader): number {
    this.#entries.push({ header, lines: new LineBuffer(), remoteId: undefined, changed: true, end: undefined });
    this.#delivery.wake();
    return this.#entries.length;
  }

  append(entryId: number, stream: OutputStream, bytes: Buffer): void {
    const entry = this.#entries[entryId - 1];
    if (!entry || this.#delivery.hasFailed) return;
    entry.lines.append(stream, bytes);
    entry.changed = true;
  }

  note(entryId: number, text: string): void {
    const entry = this.#entries[entryId - 1];
    if (!entry || this.#delivery.hasFailed) return;
    entry.lines.note(text);
    entry.changed = true;
  }

  close(entryId: number, exitCode: number, durationMs: number): void {
    const entry = this.#entries[entryId - 1];
    if (!entry) return;
    entry.lines.end();
    entry.end = { exitCode, durationMs: Math.round(durationMs) };
    entry.changed = true;
  }

  async finish(signal: AbortSignal): Promise<LogDelivery> {
    return await this.#delivery.finish(signal);
  }

  async #sendChanged(finishing: boolean, signal: AbortSignal): Promise<AfterRound> {
    let sentBytes = 0;
    for (const entry of this.#entries) {
      if (entry.changed) sentBytes += await this.#sendEntry(entry, signal);
    }
    if (finishing) return "delivered";
    return { waitMs: updateIntervalMs * Math.max(1, sentBytes / bytesPerSecondOfWait) };
  }

  async #sendEntry(entry: Entry, signal: AbortSignal): Promise<number> {
    // Each entry is added when it is opened, so that the instance's order is the order of start.
    if (entry.remoteId === undefined) {
      entry.changed = false;
      const first = fields(entry);
      entry.remoteId = await this.#delivery.send(() => this.#routes.add(first, signal));
      if (!entry.changed && !entry.end) return first.out?.length ?? 0;
    }
    const remoteId = entry.remoteId;
    entry.changed = false;
    const whole = fields(entry);
    await this.#delivery.send(() => this.#routes.update(remoteId, whole, signal));
    // The final text was sent, so it need not stay in memory.
    if (entry.end && !entry.changed) entry.lines.forget();
    return whole.out?.length ?? 0;
  }
}

function fields({ header, lines, end }: Entry): LogEntryFields {
  return {
    key: header.key,
    command: [...header.command],
    startTime: header.startTime.toISOString(),
    out: lines.text(),
    ...(end ? { exitCode: end.exitCode, durationMs: end.durationMs } : {}),
  };
}

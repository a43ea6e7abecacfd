import { setTimeout as sleep } from "node:timers/promises";
import { errorMessage } from "@airlock/job";
import type { LogEntryFields } from "../instance-client/instance-client.ts";
import { retry } from "../instance-client/retry.ts";
import { DeliveryPatience } from "./delivery-patience.ts";
import { LineBuffer } from "./line-buffer.ts";
import type { LogDelivery, LogEntryHeader, LogSink, OutputStream } from "./log-sink.ts";

const updateIntervalMs = 1000;
/** While entries are large, updates become rarer: each one sends the whole entry again. */
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

/** For instances without `log-batch`: each entry is sent again as a whole, as far as it has grown. */
export class WholeEntrySink implements LogSink {
  readonly #routes: WholeEntryRoutes;
  readonly #patience: DeliveryPatience;
  readonly #entries: Entry[] = [];
  readonly #stop = new AbortController();
  readonly #loop: Promise<void>;
  #finishing = false;
  #problem: string | undefined;
  #wake: () => void = () => {};

  constructor(routes: WholeEntryRoutes, { refusedMs = 30_000 }: { readonly refusedMs?: number } = {}) {
    this.#routes = routes;
    this.#patience = new DeliveryPatience(refusedMs);
    this.#loop = this.#deliver().catch((error: unknown) => {
      this.#problem = errorMessage(error);
    });
  }

  open(header: LogEntryHeader): number {
    this.#entries.push({ header, lines: new LineBuffer(), remoteId: undefined, changed: true, end: undefined });
    this.#wake();
    return this.#entries.length;
  }

  append(entryId: number, stream: OutputStream, bytes: Buffer): void {
    const entry = this.#entries[entryId - 1];
    if (!entry || this.#problem !== undefined) return;
    entry.lines.append(stream, bytes);
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
    this.#finishing = true;
    this.#patience.start();
    this.#wake();
    const abort = () => this.#stop.abort(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    await this.#loop;
    signal.removeEventListener("abort", abort);
    return this.#problem === undefined ? { kind: "delivered" } : { kind: "incomplete", problem: this.#problem };
  }

  async #deliver(): Promise<void> {
    const { signal } = this.#stop;
    for (;;) {
      const last = this.#finishing;
      let sentBytes = 0;
      for (const entry of this.#entries) {
        if (entry.changed) sentBytes += await this.#sendEntry(entry, signal);
      }
      if (last) return;
      await this.#pause(updateIntervalMs * Math.max(1, sentBytes / bytesPerSecondOfWait));
    }
  }

  async #sendEntry(entry: Entry, signal: AbortSignal): Promise<number> {
    // Entries are added when they are opened, so that their numbers follow the order of start.
    if (entry.remoteId === undefined) {
      entry.changed = false;
      const first = fields(entry);
      entry.remoteId = await this.#persist(() => this.#routes.add(first, signal), signal);
      if (!entry.changed && !entry.end) return first.out?.length ?? 0;
    }
    const remoteId = entry.remoteId;
    entry.changed = false;
    const whole = fields(entry);
    await this.#persist(() => this.#routes.update(remoteId, whole, signal), signal);
    // What has ended is sent; its text need not stay in memory.
    if (entry.end && !entry.changed) entry.lines.forget();
    return whole.out?.length ?? 0;
  }

  async #persist<T>(request: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const answer = await retry(request, { signal, onFailure: (error) => this.#patience.failed(error) });
    this.#patience.succeeded();
    return answer;
  }

  /** Waits, but a new entry or the end of the log ends the wait. */
  async #pause(ms: number): Promise<void> {
    const pause = new AbortController();
    const woken = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    await Promise.race([woken, sleep(ms, undefined, { signal: pause.signal }).catch(() => {})]);
    pause.abort();
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

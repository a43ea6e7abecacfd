import { LogConflict, maxChunkBytes } from "@airlock/api";
import { InstanceError } from "../instance-client/instance-error.ts";
import type { OutgoingLogEvent } from "../instance-client/log-batch-json.ts";
import { type AfterRound, LogDeliveryLoop } from "./log-delivery.ts";
import type { LogDelivery, LogEntryHeader, LogSink, OutputStream } from "./log-sink.ts";
import { LogSpool, type SpooledEvent } from "./log-spool.ts";

/** Minimum time between two batches, unless a full chunk is waiting. The first bytes are sent at once. */
const flushIntervalMs = 50;
const maximumBatchBytes = 1024 * 1024;
const maximumBatchEvents = 1000;

/** Sends a batch. Resolves when the instance has stored it. */
export type SendLogs = (events: OutgoingLogEvent[], signal: AbortSignal) => Promise<void>;

export interface ChunkSinkOptions {
  /** How long an instance that answers may reject the end of the log. */
  readonly refusedMs?: number;
}

/** Sends append-only chunks and notes (capabilities `log-batch` and `log-notes`). Resending an event has no effect. */
export class ChunkSink implements LogSink {
  readonly #send: SendLogs;
  readonly #spool: LogSpool;
  readonly #delivery: LogDeliveryLoop;
  readonly #offsets = new Map<number, number>();
  readonly #noteCounts = new Map<number, number>();
  #entries = 0;
  #lastSent = Number.NEGATIVE_INFINITY;
  /** Amount of output in memory that ends the wait between two batches. */
  #dueBytes = 0;

  constructor(send: SendLogs, spillFile: string, { refusedMs = 30_000 }: ChunkSinkOptions = {}) {
    this.#send = send;
    this.#spool = new LogSpool(spillFile);
    this.#delivery = new LogDeliveryLoop({
      round: (finishing, signal) => this.#sendDue(finishing, signal),
      refusedMs,
      // Nothing empties the spool any more, and a writer must not wait for room forever.
      onFailed: () => this.#discard(),
    });
  }

  open({ key, command, startTime }: LogEntryHeader): number {
    this.#entries += 1;
    const entryId = this.#entries;
    this.#offsets.set(entryId, 0);
    this.#spool.mark({ kind: "open", entryId, key, command: [...command], startTime: startTime.toISOString() });
    this.#wakeWhenDue();
    return entryId;
  }

  append(entryId: number, stream: OutputStream, bytes: Buffer): void | Promise<void> {
    if (this.#delivery.hasFailed) return;
    const room = this.#spool.append(entryId, stream, bytes);
    this.#wakeWhenDue();
    return room;
  }

  note(entryId: number, text: string): void {
    if (this.#delivery.hasFailed) return;
    this.#spool.mark({ kind: "note", entryId, text });
    this.#wakeWhenDue();
  }

  close(entryId: number, exitCode: number, durationMs: number): void {
    this.#spool.mark({ kind: "close", entryId, exitCode, durationMs: Math.round(durationMs) });
    this.#wakeWhenDue();
  }

  async finish(signal: AbortSignal): Promise<LogDelivery> {
    const delivery = await this.#delivery.finish(signal);
    await this.#spool[Symbol.asyncDispose]();
    const { lostBytes } = this.#spool;
    if (delivery.kind === "incomplete" || lostBytes === 0) return delivery;
    return { kind: "incomplete", problem: `${lostBytes} bytes could not be stored on disk` };
  }

  async #sendDue(finishing: boolean, signal: AbortSignal): Promise<AfterRound> {
    if (this.#spool.isEmpty) return finishing ? "delivered" : this.#waitFor(0, Number.POSITIVE_INFINITY);
    const waitMs = this.#lastSent + flushIntervalMs - performance.now();
    if (waitMs > 0 && !finishing && this.#spool.memoryBytes < maxChunkBytes) {
      return this.#waitFor(maxChunkBytes, waitMs);
    }
    this.#lastSent = performance.now();
    const events = (await this.#spool.take(maximumBatchEvents, maximumBatchBytes)).map((event) => this.#place(event));
    if (events.length > 0) await this.#sendBatch(events, signal);
    return { waitMs: 0 };
  }

  #waitFor(dueBytes: number, waitMs: number): AfterRound {
    this.#dueBytes = dueBytes;
    return { waitMs };
  }

  #wakeWhenDue(): void {
    if (this.#spool.memoryBytes >= this.#dueBytes) this.#delivery.wake();
  }

  /** Assigns offsets to chunks and ids to notes. Events are numbered in the order in which they leave the spool. */
  #place(event: SpooledEvent): OutgoingLogEvent {
    if (event.kind === "note") {
      const noteId = (this.#noteCounts.get(event.entryId) ?? 0) + 1;
      this.#noteCounts.set(event.entryId, noteId);
      return { ...event, noteId, offset: this.#offsets.get(event.entryId) ?? 0 };
    }
    if (event.kind !== "chunk") return event;
    const { entryId, stream, bytes } = event;
    const offset = this.#offsets.get(entryId) ?? 0;
    this.#offsets.set(entryId, offset + bytes.length);
    return { kind: "chunk", entryId, offset, stream, bytes };
  }

  async #sendBatch(events: OutgoingLogEvent[], signal: AbortSignal): Promise<void> {
    try {
      await this.#delivery.send(
        () => this.#send(events, signal),
        () => {
          this.#spool.spilling = true;
        },
      );
      this.#spool.spilling = false;
    } catch (error) {
      signal.throwIfAborted();
      const rest = remainderAfterConflict(events, error);
      if (rest === undefined) throw error;
      if (rest.length > 0) await this.#sendBatch(rest, signal);
    }
  }

  async #discard(): Promise<void> {
    this.#spool.spilling = true;
    while (!this.#spool.isEmpty) await this.#spool.take(maximumBatchEvents, maximumBatchBytes);
  }
}

/**
 * Returns the events that are left to send when the instance already has a part of the batch. That happens when only
 * the instance's answer was lost. `undefined` for any other conflict: earlier bytes are missing, or the instance
 * rejects the batch.
 */
export function remainderAfterConflict(
  events: readonly OutgoingLogEvent[],
  error: unknown,
): OutgoingLogEvent[] | undefined {
  if (!(error instanceof InstanceError) || error.status !== 409) return undefined;
  const conflict = parseConflict(error.body);
  if (!conflict) return undefined;
  const { entryId, expectedOffset } = conflict;
  const rest: OutgoingLogEvent[] = [];
  let skipped = false;
  for (const event of events) {
    if (event.kind !== "chunk" || event.entryId !== entryId) {
      rest.push(event);
      continue;
    }
    const { bytes } = event;
    const known = Math.min(bytes.length, Math.max(0, expectedOffset - event.offset));
    if (known > 0) skipped = true;
    if (known === bytes.length) continue;
    rest.push({ ...event, offset: event.offset + known, bytes: bytes.subarray(known) });
  }
  return skipped ? rest : undefined;
}

function parseConflict(body: string) {
  try {
    return LogConflict.safeParse(JSON.parse(body)).data;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

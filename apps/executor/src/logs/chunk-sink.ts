import { LogConflict, maxChunkBytes } from "@airlock/api";
import { errorMessage } from "@airlock/job";
import { InstanceError } from "../instance-client/instance-error.ts";
import type { OutgoingLogEvent } from "../instance-client/log-batch-json.ts";
import { retry } from "../instance-client/retry.ts";
import { DeliveryPatience } from "./delivery-patience.ts";
import type { LogDelivery, LogEntryHeader, LogSink, OutputStream } from "./log-sink.ts";
import { LogSpool, type SpooledEvent } from "./log-spool.ts";

/** After the first bytes, which go at once, a batch is sent this often at most, unless a full chunk waits. */
const flushIntervalMs = 50;
const maximumBatchBytes = 1024 * 1024;
const maximumBatchEvents = 1000;

/** Sends a batch; resolves when the instance has stored it. */
export type SendLogs = (events: OutgoingLogEvent[], signal: AbortSignal) => Promise<void>;

export interface ChunkSinkOptions {
  /** How long an instance that answers may refuse the log's end. */
  readonly refusedMs?: number;
}

/** Append-only chunks with offsets (capability `log-batch`): sending one again changes nothing. */
export class ChunkSink implements LogSink {
  readonly #send: SendLogs;
  readonly #spool: LogSpool;
  readonly #patience: DeliveryPatience;
  readonly #offsets = new Map<number, number>();
  readonly #stop = new AbortController();
  readonly #loop: Promise<void>;
  #entries = 0;
  #finishing = false;
  #problem: string | undefined;
  #waiting: { readonly resolve: () => void; readonly untilBytes: number } | undefined;

  constructor(send: SendLogs, spillFile: string, { refusedMs = 30_000 }: ChunkSinkOptions = {}) {
    this.#send = send;
    this.#patience = new DeliveryPatience(refusedMs);
    this.#spool = new LogSpool(spillFile);
    this.#stop.signal.addEventListener("abort", () => this.#wake(), { once: true });
    this.#loop = this.#deliver().catch((error: unknown) => {
      this.#problem = errorMessage(error);
      // Nobody empties the spool any more: whoever waits for room must not wait for ever.
      this.#stop.abort(error);
      return this.#discard();
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
    if (this.#problem !== undefined) return;
    const room = this.#spool.append(entryId, stream, bytes);
    this.#wakeWhenDue();
    return room;
  }

  close(entryId: number, exitCode: number, durationMs: number): void {
    this.#spool.mark({ kind: "close", entryId, exitCode, durationMs: Math.round(durationMs) });
    this.#wakeWhenDue();
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
    await this.#spool[Symbol.asyncDispose]();
    if (this.#spool.lostBytes > 0) this.#problem ??= `${this.#spool.lostBytes} bytes could not be kept on the disk`;
    return this.#problem === undefined ? { kind: "delivered" } : { kind: "incomplete", problem: this.#problem };
  }

  async #deliver(): Promise<void> {
    const { signal } = this.#stop;
    let lastSent = Number.NEGATIVE_INFINITY;
    while (!(this.#finishing && this.#spool.isEmpty)) {
      signal.throwIfAborted();
      if (this.#spool.isEmpty) {
        await this.#pause(null, 0);
        continue;
      }
      const wait = lastSent + flushIntervalMs - performance.now();
      if (wait > 0 && !this.#finishing && this.#spool.memoryBytes < maxChunkBytes) {
        await this.#pause(wait, maxChunkBytes);
        continue;
      }
      lastSent = performance.now();
      const events = (await this.#spool.take(maximumBatchEvents, maximumBatchBytes)).map((event) => this.#place(event));
      if (events.length > 0) await this.#sendBatch(events, signal);
    }
  }

  /** Waits for this time, or until this much output is there, or the log ends. */
  async #pause(ms: number | null, untilBytes: number): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#waiting = { resolve, untilBytes };
      if (ms !== null) setTimeout(resolve, ms);
    });
    this.#waiting = undefined;
  }

  #wakeWhenDue(): void {
    if (this.#waiting && this.#spool.memoryBytes >= this.#waiting.untilBytes) this.#wake();
  }

  #wake(): void {
    this.#waiting?.resolve();
  }

  /** Gives a chunk its offset; the order in which chunks are taken is the order in the log. */
  #place(event: SpooledEvent): OutgoingLogEvent {
    if (event.kind !== "chunk") return event;
    const { entryId, stream, bytes } = event;
    const offset = this.#offsets.get(entryId) ?? 0;
    this.#offsets.set(entryId, offset + bytes.length);
    return { kind: "chunk", entryId, offset, stream, bytes };
  }

  async #sendBatch(events: OutgoingLogEvent[], signal: AbortSignal): Promise<void> {
    try {
      await retry(() => this.#send(events, signal), {
        signal,
        onFailure: (error) => {
          this.#spool.spilling = true;
          this.#patience.failed(error);
        },
      });
      this.#patience.succeeded();
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
 * What is left to send when the instance has a part of the batch already, because only its answer was lost.
 * `undefined` when the conflict is another one: bytes before the batch are missing, or it was refused altogether.
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

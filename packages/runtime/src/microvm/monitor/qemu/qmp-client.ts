import type { Duplex } from "node:stream";
import { onAbort, startTimer } from "@airlock/async";
import { z } from "zod";
import { runtimeFailed } from "../../../contract/errors.ts";

/** QEMU answers within milliseconds, except while it loads a snapshot. */
const answerMs = 20_000;
/** QEMU's longest answers have a few KiB. */
const maxLineBytes = 2 ** 20;

const answerSchema = z.union([
  z.object({ return: z.unknown(), id: z.number() }),
  z.object({ error: z.object({ class: z.string(), desc: z.string() }), id: z.number().optional() }),
]);
type Answer = z.infer<typeof answerSchema>;
const eventSchema = z.object({ event: z.string(), data: z.unknown().optional() });
const messageSchema = z.union([z.object({ QMP: z.unknown() }), eventSchema, answerSchema]);

/**
 * QEMU's control protocol: JSON objects, one per line. A guest may have taken over QEMU, so answers are bounded and
 * checked. Anything unexpected ends the connection, and all calls reject.
 */
export class QmpClient {
  readonly #stream: Duplex;
  readonly #onEvent: (name: string, data: unknown) => void;
  readonly #greeted = Promise.withResolvers<void>();
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #lastId = 0;
  /** Calls by their ids. */
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  #failure: Error | null = null;

  /** @param onEvent Told of what QEMU reports by itself. */
  constructor(stream: Duplex, onEvent: (name: string, data: unknown) => void = () => {}) {
    this.#stream = stream;
    this.#onEvent = onEvent;
    this.#greeted.promise.catch(() => {});
    stream.on("data", (bytes: Buffer) => this.#receive(bytes));
    stream.on("error", (error) => this.#fail(runtimeFailed("the connection to QEMU failed", error)));
    stream.on("close", () => this.#fail(runtimeFailed("QEMU closed its control connection")));
    stream.on("end", () => this.#fail(runtimeFailed("QEMU closed its control connection")));
  }

  /** Waits for QEMU's greeting and leaves the mode in which it accepts no commands. */
  async start(signal: AbortSignal): Promise<void> {
    using _abort = onAbort(signal, () => this.#fail(signal.reason));
    using _timer = startTimer(answerMs, () => this.#fail(runtimeFailed("QEMU did not greet within 20 s")));
    await this.#greeted.promise;
    await this.call("qmp_capabilities", {}, signal);
  }

  /**
   * Runs a command. QEMU runs them one after another.
   * @throws {AirlockError} reason `runtime` when QEMU refuses it, does not answer, or has ended.
   */
  async call(command: string, args: Readonly<Record<string, unknown>>, signal: AbortSignal): Promise<unknown> {
    signal.throwIfAborted();
    if (this.#failure) throw this.#failure;
    this.#lastId += 1;
    const id = this.#lastId;
    const answer = Promise.withResolvers<unknown>();
    this.#waiting.set(id, answer);
    this.#stream.write(`${JSON.stringify({ execute: command, arguments: args, id })}\n`);
    // QEMU can't take a command back. So an abort in between gives up the machine.
    using _abort = onAbort(signal, () => this.#fail(signal.reason));
    using _timer = startTimer(answerMs, () => this.#fail(runtimeFailed(`QEMU did not answer ${command} within 20 s`)));
    try {
      return await answer.promise;
    } finally {
      this.#waiting.delete(id);
    }
  }

  #receive(bytes: Buffer): void {
    if (this.#failure) return;
    let rest = bytes;
    for (let end = rest.indexOf(0x0a); end >= 0 && !this.#failure; end = rest.indexOf(0x0a)) {
      const line = Buffer.concat([...this.#pending, rest.subarray(0, end)]);
      this.#pending = [];
      this.#pendingBytes = 0;
      rest = rest.subarray(end + 1);
      this.#take(line);
    }
    this.#pending.push(rest);
    this.#pendingBytes += rest.length;
    if (this.#pendingBytes > maxLineBytes) this.#fail(runtimeFailed("QEMU sent an answer that is too long"));
  }

  #take(line: Buffer): void {
    const parsed = messageSchema.safeParse(parseJson(line));
    if (!parsed.success) this.#fail(runtimeFailed("QEMU sent an answer that is not QMP"));
    else if ("QMP" in parsed.data) this.#greeted.resolve();
    else if ("event" in parsed.data) this.#onEvent(parsed.data.event, parsed.data.data);
    else this.#answer(parsed.data);
  }

  #answer(message: Answer): void {
    const waiting = message.id === undefined ? undefined : this.#waiting.get(message.id);
    if (!waiting) {
      this.#fail(runtimeFailed("QEMU answered a command that was not sent"));
    } else if ("error" in message) {
      // Printable: a terminal that shows it takes no command from the guest.
      const words = message.error.desc.slice(0, 500).replace(/[^ -~]/g, "?");
      waiting.reject(runtimeFailed(`QEMU refused a command: ${words}`));
    } else {
      waiting.resolve(message.return);
    }
  }

  #fail(error: Error): void {
    if (this.#failure) return;
    this.#failure = error;
    this.#pending = [];
    this.#stream.destroy();
    this.#greeted.reject(error);
    for (const { reject } of this.#waiting.values()) reject(error);
  }
}

function parseJson(line: Buffer): unknown {
  try {
    return JSON.parse(line.toString("utf8"));
  } catch {
    // Not valid for the schema either.
    return undefined;
  }
}

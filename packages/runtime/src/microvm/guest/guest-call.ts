import { onAbort, startTimer } from "@airlock/async";
import { runtimeFailed } from "../../contract/errors.ts";
import { type Frame, frameCost, GuestViolation, initialCredit, maxCredit, maxPayloadBytes } from "./frames.ts";
import { GuestCallError } from "./guest-call-error.ts";
import { PayloadReader } from "./payload-reader.ts";
import { PayloadWriter } from "./payload-writer.ts";

/** How a script ended, as the guest claims it. */
export interface GuestExit {
  readonly kind: "exited" | "killed";
  /** Exit code 0 to 255, or signal number 1 to 64. */
  readonly value: number;
  readonly outOfMemory: boolean;
  /** Number of processes that the script left behind. */
  readonly left: number;
}

export interface CallOptions {
  readonly signal: AbortSignal;
  /** The connection fails when the guest sends nothing for this time. */
  readonly stallMs: number;
  /** Whether the guest may be silent for any time once the upload has been sent. Default: false. */
  readonly mayBeSilent?: boolean;
  /** Sent on stream 0 of the call, which then ends. */
  readonly upload?: AsyncIterable<Buffer>;
  /** Number of streams on which the agent may send: 1, or 2 with stderr. Default: 0. */
  readonly streams?: 0 | 1 | 2;
  /** Takes the data in order. More is granted to the guest once the returned promise resolves. */
  readonly onData?: (stream: number, bytes: Buffer) => void | Promise<void>;
  /** Takes the end of the script. Given only for steps; other calls must not report one. */
  readonly onExited?: (exit: GuestExit) => void;
  /** Called with the channel when the call was sent. */
  readonly onStarted?: (channel: number) => void;
}

const none = Buffer.alloc(0);
/** How long the agent may take to end a canceled call. */
const cancelMs = 10_000;

/** One call to the agent, from its first frame to its result. */
export class GuestCall {
  readonly #channel: number;
  readonly #options: CallOptions;
  readonly #send: (frame: Frame) => Promise<void>;
  readonly #failConnection: (error: Error) => void;
  readonly #result = Promise.withResolvers<Buffer>();
  /** What the agent may still send, by stream. */
  readonly #inCredit = [initialCredit, initialCredit];
  #outCredit = initialCredit;
  #creditCame: (() => void) | null = null;
  /** Takes received data one after the other. */
  #taking: Promise<void> = Promise.resolve();
  #pending = 0;
  #heardAt = performance.now();
  #hasExited = false;
  #isUploaded: boolean;
  /** Why this side gave the call up. Whatever the agent answers, it is the result. */
  #givenUp: { readonly reason: unknown } | null = null;
  readonly #over = Promise.withResolvers<void>();
  hasEnded = false;

  constructor(
    channel: number,
    options: CallOptions,
    send: (frame: Frame) => Promise<void>,
    failConnection: (error: Error) => void,
  ) {
    this.#channel = channel;
    this.#options = options;
    this.#isUploaded = options.upload === undefined;
    this.#send = send;
    this.#failConnection = failConnection;
    this.#result.promise.catch(() => {});
  }

  /** Settles when the agent has ended the call and everything that it sent was taken. */
  async run(payload: Buffer): Promise<Buffer> {
    const { signal, upload } = this.#options;
    using _abort = onAbort(signal, () => this.#giveUp(signal.reason));
    using _stall = this.#watchStall();
    await this.#send({ type: "call", channel: this.#channel, payload });
    this.#options.onStarted?.(this.#channel);
    if (upload) this.#upload(upload).catch((error: unknown) => this.#giveUp(error));
    return await this.#result.promise;
  }

  /** @throws {AirlockError} reason `runtime` when this frame breaks the protocol. */
  take({ type, payload }: Frame): void {
    this.#heardAt = performance.now();
    switch (type) {
      case "data":
        this.#takeData(payload);
        break;
      case "credit":
        this.#takeCredit(new PayloadReader(payload, "a grant of credit"));
        break;
      case "exited":
        this.#takeExit(new PayloadReader(payload, "the end of a step"));
        break;
      case "result":
        this.#end(() => this.#result.resolve(payload));
        break;
      case "error": {
        const error = GuestCallError.parse(payload);
        this.#end(() => this.#result.reject(error));
        break;
      }
      default:
        throw new GuestViolation(`a frame of type ${type}`);
    }
  }

  fail(error: Error): void {
    this.hasEnded = true;
    this.#over.resolve();
    this.#result.reject(this.#givenUp ? this.#givenUp.reason : error);
    this.#creditCame?.();
  }

  #end(settle: () => void): void {
    this.hasEnded = true;
    this.#over.resolve();
    this.#creditCame?.();
    void this.#taking.then(() => (this.#givenUp ? this.#result.reject(this.#givenUp.reason) : settle()));
  }

  #takeData(payload: Buffer): void {
    const stream = payload[0] ?? 2;
    const bytes = payload.subarray(1);
    const credit = this.#inCredit[stream] ?? 0;
    if (stream >= (this.#options.streams ?? 0))
      throw new GuestViolation("data on a stream that the call does not have");
    if (bytes.length === 0) throw new GuestViolation("data without bytes");
    const cost = bytes.length + frameCost;
    if (cost > credit) throw new GuestViolation("more data than it was granted");
    this.#inCredit[stream] = credit - cost;
    this.#pending += 1;
    this.#taking = this.#taking.then(() => this.#deliver(stream, bytes));
  }

  async #deliver(stream: number, bytes: Buffer): Promise<void> {
    try {
      if (!this.#givenUp) await this.#options.onData?.(stream, bytes);
    } catch (error) {
      this.#giveUp(error);
      if (error instanceof GuestViolation) this.#failConnection(error);
    }
    this.#pending -= 1;
    this.#heardAt = performance.now();
    if (this.hasEnded) return;
    const cost = bytes.length + frameCost;
    this.#inCredit[stream] = (this.#inCredit[stream] ?? 0) + cost;
    const payload = new PayloadWriter().uint8(stream).uint32(cost).toBuffer();
    // Not waited for: a guest that never reads would delay the end of the call for ever. A stream that failed has already
    // rejected this call.
    this.#send({ type: "credit", channel: this.#channel, payload }).catch(() => {});
  }

  #takeCredit(reader: PayloadReader): void {
    const stream = reader.uint8();
    const granted = reader.uint32();
    reader.end();
    if (stream !== 0 || granted === 0 || !this.#options.upload) throw new GuestViolation("a grant that nothing needs");
    if (this.#outCredit + granted > maxCredit) throw new GuestViolation("a grant beyond the maximum");
    this.#outCredit += granted;
    this.#creditCame?.();
  }

  #takeExit(reader: PayloadReader): void {
    const kind = reader.uint8();
    const value = reader.uint32();
    const outOfMemory = reader.uint8();
    const left = reader.uint32();
    reader.end();
    const { onExited } = this.#options;
    const isPossible = kind === 0 ? value <= 255 : kind === 1 && value >= 1 && value <= 64;
    if (!onExited || this.#hasExited || !isPossible || outOfMemory > 1)
      throw new GuestViolation("an impossible exit state");
    this.#hasExited = true;
    onExited({ kind: kind === 0 ? "exited" : "killed", value, outOfMemory: outOfMemory === 1, left });
  }

  async #upload(content: AsyncIterable<Buffer>): Promise<void> {
    for await (const piece of content) {
      for (let at = 0; at < piece.length; ) {
        while (this.#outCredit <= frameCost && !this.#isOver()) await this.#nextCredit();
        if (this.#isOver()) return;
        const bytes = piece.subarray(at, at + Math.min(this.#outCredit - frameCost, maxPayloadBytes - 1));
        this.#outCredit -= bytes.length + frameCost;
        at += bytes.length;
        await this.#sendOnStream("data", bytes);
      }
    }
    if (!this.#isOver()) await this.#sendOnStream("end", none);
    this.#isUploaded = true;
  }

  #isOver(): boolean {
    return this.hasEnded || this.#givenUp !== null;
  }

  async #sendOnStream(type: "data" | "end", bytes: Buffer): Promise<void> {
    await this.#send({ type, channel: this.#channel, payload: Buffer.concat([Buffer.of(0), bytes]) });
  }

  async #nextCredit(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#creditCame = resolve;
    await promise;
    this.#creditCame = null;
  }

  /** Tells the agent to end the call, and fails the connection if it does not. */
  #giveUp(reason: unknown): void {
    if (this.#givenUp) return;
    this.#givenUp = { reason };
    if (this.hasEnded) return;
    this.#creditCame?.();
    const timer = startTimer(cancelMs, () => {
      this.#failConnection(runtimeFailed("the guest agent did not end a canceled call"));
    });
    void this.#over.promise.then(() => timer[Symbol.dispose]());
    // A stream that failed has already rejected this call.
    this.#send({ type: "cancel", channel: this.#channel, payload: none }).catch(() => {});
  }

  #watchStall(): Disposable {
    const { stallMs, mayBeSilent = false } = this.#options;
    const look = () => {
      // Time that the host itself needs for the data does not count.
      if (this.#pending > 0 || (mayBeSilent && this.#isUploaded) || performance.now() - this.#heardAt < stallMs) return;
      this.#failConnection(runtimeFailed(`the guest agent was silent for ${Math.round(stallMs / 1000)} s`));
    };
    const timer = setInterval(look, Math.max(stallMs / 4, 10));
    return { [Symbol.dispose]: () => clearInterval(timer) };
  }
}

import { Duplex } from "node:stream";
import { type Frame, frameCost, GuestViolation, maxPayloadBytes, serviceCredit } from "./frames.ts";
import { PayloadReader } from "./payload-reader.ts";
import { PayloadWriter } from "./payload-writer.ts";

const streamNumber = Buffer.of(0);

/**
 * A connection of a step to a service, as the host's end of it. The guest is hostile: this keeps at most the granted
 * credit of what it sends, and waits for its credit before it sends.
 */
export class GuestServiceConnection extends Duplex {
  readonly #channel: number;
  readonly #send: (frame: Frame) => Promise<void>;
  /** Called when no frame of this connection can follow from an honest agent, except a late credit or reset. */
  readonly #onOver: () => void;
  readonly #queue: Buffer[] = [];
  #inCredit = serviceCredit;
  #outCredit = serviceCredit;
  #wantsData = false;
  #creditCame: (() => void) | null = null;
  #hasSentEnd = false;
  #hasGotEnd = false;
  #hasSentReset = false;
  #isOver = false;

  constructor(channel: number, send: (frame: Frame) => Promise<void>, onOver: () => void) {
    super({ readableHighWaterMark: serviceCredit, writableHighWaterMark: serviceCredit });
    this.#channel = channel;
    this.#send = send;
    this.#onOver = onOver;
    // A connection that breaks off is the step's business, also before anyone reads it.
    this.on("error", () => {});
  }

  /** @throws {AirlockError} reason `runtime` when this frame breaks the protocol. */
  takeFrame({ type, payload }: Frame): void {
    switch (type) {
      case "data":
        this.#takeData(payload);
        break;
      case "end":
        this.#takeEnd(payload);
        break;
      case "credit":
        this.#takeCredit(new PayloadReader(payload, "a grant of credit"));
        break;
      case "reset":
        if (payload.length > 0) throw new GuestViolation("a reset with a payload");
        this.#end();
        this.destroy();
        break;
      default:
        throw new GuestViolation(`a frame of type ${type} on a connection`);
    }
  }

  /** Ends the connection without a frame, because the stream to the guest has failed or its step is over. */
  abandon(): void {
    this.#end();
    this.destroy();
  }

  override _read(): void {
    this.#wantsData = true;
    this.#passOn();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#write(chunk).then(() => done(), done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#sendFrame("end", streamNumber).then(() => done(), done);
    this.#hasSentEnd = true;
    if (this.#hasGotEnd) this.#end();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#queue.length = 0;
    this.#creditCame?.();
    if (!this.#isOver) {
      this.#hasSentReset = true;
      // A stream to the guest that failed has already ended this connection.
      this.#sendFrame("reset", Buffer.alloc(0)).catch(() => {});
    }
    done(error);
  }

  #takeData(payload: Buffer): void {
    const cost = payload.length - 1 + frameCost;
    if (payload[0] !== 0 || payload.length < 2) throw new GuestViolation("malformed data of a connection");
    if (this.#hasGotEnd) throw new GuestViolation("data after its end");
    if (cost > this.#inCredit) throw new GuestViolation("more data than it was granted");
    this.#inCredit -= cost;
    // The agent may have sent it before it read the reset.
    if (this.destroyed) return;
    this.#queue.push(payload.subarray(1));
    this.#passOn();
  }

  #takeEnd(payload: Buffer): void {
    if (!payload.equals(streamNumber) || this.#hasGotEnd) throw new GuestViolation("an impossible end of a connection");
    this.#hasGotEnd = true;
    if (this.#hasSentEnd) this.#end();
    if (!this.destroyed) this.#passOn();
  }

  #takeCredit(reader: PayloadReader): void {
    const stream = reader.uint8();
    const granted = reader.uint32();
    reader.end();
    if (stream !== 0 || granted === 0 || this.#outCredit + granted > serviceCredit)
      throw new GuestViolation("an impossible grant to a connection");
    this.#outCredit += granted;
    this.#creditCame?.();
  }

  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#onOver();
  }

  /** Gives the reader as much as it takes, and grants the guest the same again. */
  #passOn(): void {
    while (this.#wantsData && this.#queue.length > 0) {
      const piece = this.#queue.shift() as Buffer;
      this.#wantsData = this.push(piece);
      if (!this.#hasGotEnd && !this.destroyed) this.#grant(piece.length + frameCost);
    }
    if (this.#hasGotEnd && this.#queue.length === 0 && !this.readableEnded && this.#wantsData) {
      this.#wantsData = false;
      this.push(null);
    }
  }

  #grant(cost: number): void {
    this.#inCredit += cost;
    const payload = new PayloadWriter().uint8(0).uint32(cost).toBuffer();
    // A stream to the guest that failed has already ended this connection.
    this.#sendFrame("credit", payload).catch(() => {});
  }

  async #write(chunk: Buffer): Promise<void> {
    for (let at = 0; at < chunk.length && !this.destroyed; ) {
      while (this.#outCredit <= frameCost && !this.destroyed) await this.#nextCredit();
      if (this.destroyed) return;
      const bytes = chunk.subarray(at, at + Math.min(this.#outCredit - frameCost, maxPayloadBytes - 1));
      this.#outCredit -= bytes.length + frameCost;
      at += bytes.length;
      await this.#sendFrame("data", Buffer.concat([streamNumber, bytes]));
    }
  }

  async #nextCredit(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#creditCame = resolve;
    await promise;
    this.#creditCame = null;
  }

  async #sendFrame(type: Frame["type"], payload: Buffer): Promise<void> {
    if (this.#hasSentReset && type !== "reset") return;
    await this.#send({ type, channel: this.#channel, payload });
  }
}

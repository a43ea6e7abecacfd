import type { Readable, Writable } from "node:stream";
import type { Message } from "./messages.ts";

/** A message and its binary body. */
export interface Frame {
  readonly message: Message;
  readonly body: Buffer;
}

const prefixBytes = 8;
const noBody = Buffer.alloc(0);

/** Writes frames to a stream: two 4-byte lengths, the message as JSON, the body. */
export class FrameWriter {
  readonly #stream: Writable;

  constructor(stream: Writable) {
    this.#stream = stream;
  }

  /** Resolves when the stream accepts more data (backpressure). */
  async send(message: Message, body: Buffer = noBody): Promise<void> {
    const json = Buffer.from(JSON.stringify(message));
    const prefix = Buffer.alloc(prefixBytes);
    prefix.writeUInt32BE(json.length, 0);
    prefix.writeUInt32BE(body.length, 4);
    if (this.#stream.destroyed) throw new Error("the other side has gone");
    if (this.#stream.write(Buffer.concat([prefix, json, body]))) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#stream.once("drain", resolve).once("close", resolve);
    await promise;
    this.#stream.off("drain", resolve).off("close", resolve);
  }
}

/** Yields the frames of a stream in order, until it ends. */
export async function* readFrames(stream: Readable): AsyncGenerator<Frame> {
  let rest: Buffer = noBody;
  for await (const piece of stream) {
    rest = Buffer.concat([rest, piece as Buffer]);
    for (;;) {
      if (rest.length < prefixBytes) break;
      const bodyAt = prefixBytes + rest.readUInt32BE(0);
      const end = bodyAt + rest.readUInt32BE(4);
      if (rest.length < end) break;
      const message = JSON.parse(rest.subarray(prefixBytes, bodyAt).toString()) as Message;
      yield { message, body: Buffer.from(rest.subarray(bodyAt, end)) };
      rest = rest.subarray(end);
    }
  }
}

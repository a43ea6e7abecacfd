import { AirlockError } from "@airlock/job";

/** Version of the protocol between host and guest agent, docs/guest-protocol.md. */
const protocolVersion = 1;
const headerBytes = 8;
/** Longest frame. vhost-device-vsock 0.3.0 stalls a connection at writes of 60 KiB. */
const maxFrameBytes = 16_384;
export const maxPayloadBytes = maxFrameBytes - headerBytes;
/** Bytes that either side may send on a stream before the receiver grants more. */
export const initialCredit = 65_536;
/** Credit that a data frame costs beyond its bytes, so that tiny frames can't fill the receiver's memory. */
export const frameCost = 64;
/** Largest credit that a stream may have. */
export const maxCredit = 1_048_576;

/** Channels of connections to services have this bit. */
export const serviceChannel = 0x8000_0000;
/** Bytes in flight in each direction of a connection to a service. */
export const serviceCredit = 32_768;

export const frameTypes = {
  hello: 1,
  call: 2,
  result: 3,
  error: 4,
  data: 5,
  end: 6,
  credit: 7,
  cancel: 8,
  exited: 9,
  open: 10,
  reset: 11,
} as const;

export type FrameType = keyof typeof frameTypes;

export interface Frame {
  readonly type: FrameType;
  /** 0 for `hello`, else the number of the call or connection that the frame belongs to: 1 to 2³² - 1. */
  readonly channel: number;
  /** At most {@link maxPayloadBytes}. */
  readonly payload: Buffer;
}

const typeOfNumber = new Map<number, FrameType>(
  Object.entries(frameTypes).map(([name, number]) => [number, name as FrameType]),
);

export const helloPayload = Buffer.from([...Buffer.from("AIRLOCK\0"), 0, protocolVersion]);

/** The guest broke the protocol. The connection ends, and nothing that the guest says afterwards is used. */
export class GuestViolation extends AirlockError {
  constructor(what: string) {
    super(`the guest broke the agent protocol: ${what}`, { code: "runtime", reason: "runtime" });
  }
}

export function encodeFrame({ type, channel, payload }: Frame): Buffer {
  if (payload.length > maxPayloadBytes) throw new RangeError(`a frame holds at most ${maxPayloadBytes} bytes`);
  const header = Buffer.alloc(headerBytes);
  header.writeUInt16BE(payload.length, 0);
  header.writeUInt8(frameTypes[type], 2);
  header.writeUInt32BE(channel, 4);
  return Buffer.concat([header, payload]);
}

/** Splits a hostile byte stream into frames. Keeps less than one frame, 16 KiB, whatever it is given. */
export class FrameDecoder {
  #partial: Buffer = Buffer.alloc(0);

  /** Number of bytes that wait for the rest of their frame. */
  get waitingBytes(): number {
    return this.#partial.length;
  }

  /** Forgets the bytes that wait. */
  clear(): void {
    this.#partial = Buffer.alloc(0);
  }

  /**
   * Yields the frames that these bytes complete. Payloads are copies.
   * @throws {AirlockError} reason `runtime` at the first byte that no valid frame has. Don't use the decoder again.
   */
  *push(bytes: Buffer): Generator<Frame> {
    let rest = this.#partial.length === 0 ? bytes : Buffer.concat([this.#partial, bytes]);
    while (rest.length >= headerBytes) {
      const length = rest.readUInt16BE(0);
      const type = typeOfNumber.get(rest.readUInt8(2));
      if (length > maxPayloadBytes) throw new GuestViolation(`a frame of ${length} bytes`);
      if (type === undefined) throw new GuestViolation(`an unknown frame type ${rest.readUInt8(2)}`);
      if (rest.readUInt8(3) !== 0) throw new GuestViolation("a reserved byte that is not zero");
      if (rest.length < headerBytes + length) break;
      const payload = Buffer.from(rest.subarray(headerBytes, headerBytes + length));
      const channel = rest.readUInt32BE(4);
      rest = rest.subarray(headerBytes + length);
      yield { type, channel, payload };
    }
    // A copy, so that a few bytes don't keep a large chunk alive.
    this.#partial = Buffer.from(rest);
  }
}

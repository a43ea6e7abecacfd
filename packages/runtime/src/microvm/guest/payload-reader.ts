import { GuestViolation } from "./frames.ts";

/** Reads the fields of a payload that a hostile guest sent. Every method throws when the payload is too short. */
export class PayloadReader {
  readonly #payload: Buffer;
  readonly #what: string;
  #at = 0;

  /** @param what names the payload in errors. */
  constructor(payload: Buffer, what: string) {
    this.#payload = payload;
    this.#what = what;
  }

  get hasMore(): boolean {
    return this.#at < this.#payload.length;
  }

  /** Number of bytes that were read. */
  get position(): number {
    return this.#at;
  }

  uint8(): number {
    return this.bytes(1).readUInt8(0);
  }

  uint16(): number {
    return this.bytes(2).readUInt16BE(0);
  }

  uint32(): number {
    return this.bytes(4).readUInt32BE(0);
  }

  /** A 64-bit number that JavaScript represents exactly. */
  uint53(): number {
    const value = this.bytes(8).readBigUInt64BE(0);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new GuestViolation(`a number out of range in ${this.#what}`);
    return Number(value);
  }

  /** A signed 64-bit number that JavaScript represents exactly. */
  int53(): number {
    const value = Number(this.bytes(8).readBigInt64BE(0));
    if (!Number.isSafeInteger(value)) throw new GuestViolation(`a number out of range in ${this.#what}`);
    return value;
  }

  uint64(): bigint {
    return this.bytes(8).readBigUInt64BE(0);
  }

  bytes(length: number): Buffer {
    const end = this.#at + length;
    if (end > this.#payload.length) throw new GuestViolation(`${this.#what} is cut off`);
    const taken = this.#payload.subarray(this.#at, end);
    this.#at = end;
    return taken;
  }

  /** All bytes that are left. */
  rest(): Buffer {
    return this.bytes(this.#payload.length - this.#at);
  }

  /** @throws when bytes are left. */
  end(): void {
    if (this.hasMore) throw new GuestViolation(`${this.#what} has bytes at its end that don't belong there`);
  }
}

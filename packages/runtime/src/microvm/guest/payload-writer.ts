/** The longest path that the agent takes. */
export const maxPathBytes = 4095;

/** Builds a payload: big-endian numbers, and strings behind their length. */
export class PayloadWriter {
  readonly #parts: Buffer[] = [];

  uint8(value: number): this {
    return this.#number(1, (part) => part.writeUInt8(value));
  }

  uint16(value: number): this {
    return this.#number(2, (part) => part.writeUInt16BE(value));
  }

  uint32(value: number): this {
    return this.#number(4, (part) => part.writeUInt32BE(value));
  }

  uint64(value: number | bigint): this {
    return this.#number(8, (part) => part.writeBigUInt64BE(BigInt(value)));
  }

  int64(value: number | bigint): this {
    return this.#number(8, (part) => part.writeBigInt64BE(BigInt(value)));
  }

  bytes(value: Buffer): this {
    this.#parts.push(value);
    return this;
  }

  /** A path of at most {@link maxPathBytes} behind its length of 2 bytes. */
  path(value: Buffer): this {
    return this.uint16(value.length).bytes(value);
  }

  toBuffer(): Buffer {
    return Buffer.concat(this.#parts);
  }

  #number(size: number, write: (part: Buffer) => void): this {
    const part = Buffer.alloc(size);
    write(part);
    this.#parts.push(part);
    return this;
  }
}

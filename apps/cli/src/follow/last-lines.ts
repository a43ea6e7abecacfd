const newline = 0x0a;

/** Keeps the last lines of a stream of bytes. Memory is bounded by the size of these lines. */
export class LastLines {
  readonly #count: number;
  /** Complete lines with their line ends. */
  #lines: Buffer[] = [];
  /** The parts of the last line, which has no line end yet. */
  #open: Buffer[] = [];

  constructor(count: number) {
    this.#count = count;
  }

  push(bytes: Uint8Array): void {
    const data = Buffer.from(bytes);
    let start = 0;
    for (let end = data.indexOf(newline); end !== -1; end = data.indexOf(newline, start)) {
      this.#lines.push(Buffer.concat([...this.#open, data.subarray(start, end + 1)]));
      this.#open = [];
      start = end + 1;
      // Removing the first lines one by one would take quadratic time.
      if (this.#lines.length >= 2 * this.#count + 1000) this.#lines = this.#lines.slice(-this.#count);
    }
    if (start < data.length) this.#open.push(data.subarray(start));
  }

  end(): Buffer {
    const last = this.#open.length > 0 ? [Buffer.concat(this.#open)] : [];
    return Buffer.concat([...this.#lines, ...last].slice(-this.#count));
  }
}

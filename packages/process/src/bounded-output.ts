/** Keeps the last bytes of a stream. */
export class OutputTail {
  readonly #maxBytes: number;
  #parts: Buffer[] = [];
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  push(bytes: Buffer): void {
    this.#parts.push(bytes);
    this.#bytes += bytes.length;
    // Cutting only at twice the limit keeps the cost of many small writes linear.
    if (this.#bytes > 2 * this.#maxBytes) this.#cut();
  }

  text(): string {
    this.#cut();
    return this.#parts[0]?.toString("utf8") ?? "";
  }

  #cut(): void {
    const kept = Buffer.concat(this.#parts).subarray(-this.#maxBytes);
    this.#parts = [kept];
    this.#bytes = kept.length;
  }
}

/** Keeps all of a stream up to a limit. */
export class WholeOutput {
  readonly #maxBytes: number;
  readonly #parts: Buffer[] = [];
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get isOverfull(): boolean {
    return this.#bytes > this.#maxBytes;
  }

  push(bytes: Buffer): void {
    this.#bytes += bytes.length;
    if (!this.isOverfull) this.#parts.push(bytes);
  }

  text(): string {
    return Buffer.concat(this.#parts).toString("utf8");
  }
}

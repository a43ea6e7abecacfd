/** About what a full batch of a log takes. */
const bodyBytes = 1_500_000;
const maximumSpare = 4;

/** Memory for large requests, used again: made anew for each, it keeps the garbage collector busy. */
export class BodyPool {
  readonly #spare: Buffer[] = [];

  /** At least that many bytes. Small and unusually large ones are not pooled. */
  take(bytes: number): Buffer {
    if (bytes < bodyBytes / 4 || bytes > bodyBytes) return Buffer.allocUnsafe(bytes);
    return this.#spare.pop() ?? Buffer.allocUnsafeSlow(bodyBytes);
  }

  /** To be called when nothing sends from it any more: after an answer, and never after a failure. */
  give(buffer: Buffer): void {
    if (buffer.length === bodyBytes && this.#spare.length < maximumSpare) this.#spare.push(buffer);
  }
}

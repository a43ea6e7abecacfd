/** Approximate size of a full log batch. */
const bodyBytes = 1_500_000;
const maximumSpare = 4;

/** Reuses memory for large requests. New memory for each request keeps the garbage collector busy. */
export class BodyPool {
  readonly #spare: Buffer[] = [];

  /** Returns a buffer of at least `bytes` bytes. Small and unusually large buffers are not pooled. */
  take(bytes: number): Buffer {
    if (bytes < bodyBytes / 4 || bytes > bodyBytes) return Buffer.allocUnsafe(bytes);
    return this.#spare.pop() ?? Buffer.allocUnsafeSlow(bodyBytes);
  }

  /** Call this only when no request still reads from the buffer: after an answer, never after a failure. */
  give(buffer: Buffer): void {
    if (buffer.length === bodyBytes && this.#spare.length < maximumSpare) this.#spare.push(buffer);
  }
}

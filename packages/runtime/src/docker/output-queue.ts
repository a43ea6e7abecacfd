import type { StepOutput } from "../contract/index.ts";
import type { Piece } from "./stream-frames.ts";

const limitBytes = 256 * 1024;
/** Used when the script has ended, because the engine drops output that it can't deliver within two seconds. */
const lateLimitBytes = 4 * 1024 * 1024;

/**
 * Buffers between the engine's stream and a step's output. While the step runs, backpressure keeps the reader at the
 * speed of the output. Once its processes are gone, at most one pipe's content is left. It is read without
 * backpressure, because the engine drops what it can't deliver within two seconds after the end.
 */
export class OutputQueue {
  readonly #output: StepOutput;
  #waitingBytes = 0;
  #limitBytes = limitBytes;
  #readAt = performance.now();
  #last: Promise<void> = Promise.resolve();
  #wake: (() => void) | undefined;
  readonly #failed = Promise.withResolvers<never>();

  constructor(output: StepOutput) {
    this.#output = output;
    // Avoid an unhandled rejection if no caller waits for `failed`.
    this.#failed.promise.catch(() => {});
  }

  /** Rejects as soon as the output has thrown. */
  get failed(): Promise<never> {
    return this.#failed.promise;
  }

  /** Resolves when there is room for the next piece. Calls must not overlap. After a failure every piece is dropped. */
  async push({ stream, bytes }: Piece): Promise<void> {
    this.#waitingBytes += bytes.length;
    this.#last = this.#last.then(async () => {
      await this.#output(stream, bytes);
      this.#waitingBytes -= bytes.length;
      this.#readAt = performance.now();
      if (this.#waitingBytes <= this.#limitBytes) this.#wake?.();
    });
    this.#last.catch((error) => {
      this.#failed.reject(error);
      this.lift();
    });
    while (this.#waitingBytes > this.#limitBytes) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** For how long there has been nothing to read; 0 while the reader is busy with earlier output. */
  get idleMs(): number {
    return this.#waitingBytes > 0 ? 0 : performance.now() - this.#readAt;
  }

  /** From now on `push` waits later: processes that the script left behind may have more to say than a pipe's worth. */
  widen(): void {
    this.#limitBytes = Math.max(this.#limitBytes, lateLimitBytes);
    this.#wake?.();
  }

  /** Makes `push` return at once from now on. */
  lift(): void {
    this.#limitBytes = Number.POSITIVE_INFINITY;
    this.#wake?.();
  }

  /** Resolves when the output has taken every piece. Rejects with what the output threw. */
  async drained(): Promise<void> {
    await this.#last;
  }
}

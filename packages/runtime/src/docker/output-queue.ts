import type { StepOutput } from "../contract/index.ts";
import type { Piece } from "./stream-frames.ts";

const limitBytes = 256 * 1024;

/**
 * Buffers between the engine's stream and a step's output. While the step runs, backpressure keeps the reader at the
 * speed of the output. Once its processes are gone, at most one pipe's content is left. It is read without
 * backpressure, because the engine drops what it can't deliver within two seconds after the end.
 */
export class OutputQueue {
  readonly #output: StepOutput;
  #waitingBytes = 0;
  #last: Promise<void> = Promise.resolve();
  #unlimited = false;
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
      if (this.#waitingBytes <= limitBytes) this.#wake?.();
    });
    this.#last.catch((error) => {
      this.#failed.reject(error);
      this.lift();
    });
    while (this.#waitingBytes > limitBytes && !this.#unlimited) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Makes `push` return at once from now on. */
  lift(): void {
    this.#unlimited = true;
    this.#wake?.();
  }

  /** Resolves when the output has taken every piece. Rejects with what the output threw. */
  async drained(): Promise<void> {
    await this.#last;
  }
}

import type { StepOutput } from "../contract/index.ts";
import type { Piece } from "./stream-frames.ts";

const limitBytes = 256 * 1024;

/**
 * Between the engine's stream and a step's output. While the step runs, the stream is read no further than the output
 * keeps up. Once its processes are gone, what is left is a pipe's worth, and it is read at the engine's own pace: the
 * engine drops what it could not hand over two seconds after the end.
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
    // Whoever waits for `failed` learns of it; nobody has to.
    this.#failed.promise.catch(() => {});
  }

  /** Rejects as soon as the output has thrown. */
  get failed(): Promise<never> {
    return this.#failed.promise;
  }

  /** Resolves when there is room for the next; one call at a time. After a failure everything is dropped. */
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

  /** From now on `push` never waits. */
  lift(): void {
    this.#unlimited = true;
    this.#wake?.();
  }

  /** Resolves when everything was taken; rejects with what the output threw. */
  async drained(): Promise<void> {
    await this.#last;
  }
}

import type { StepOutput } from "../contract/index.ts";
import type { OutputPipes } from "./output-pipes.ts";

/** Hands on what a step prints, one piece at a time, so that a reader who awaits sees the two streams one after the other. */
export class StepOutputReader {
  /** Resolves when nobody can print any more and all was taken; rejects with what the output threw. */
  readonly delivered: Promise<void>;
  readonly #output: StepOutput;
  #last: Promise<void> = Promise.resolve();
  #waiting = 0;
  #readAt = performance.now();

  constructor(pipes: OutputPipes, output: StepOutput) {
    this.#output = output;
    this.delivered = Promise.all([this.#pump(pipes.stdout, "stdout"), this.#pump(pipes.stderr, "stderr")]).then(
      () => {},
    );
  }

  /** For how long there has been nothing to read; 0 while the reader still takes what came before. */
  get idleMs(): number {
    return this.#waiting > 0 ? 0 : performance.now() - this.#readAt;
  }

  async #pump(source: AsyncIterable<Buffer>, stream: "stdout" | "stderr"): Promise<void> {
    for await (const bytes of source) {
      this.#waiting += 1;
      const next = this.#last.then(() => this.#output(stream, bytes));
      this.#last = next.catch(() => {});
      await next;
      this.#waiting -= 1;
      this.#readAt = performance.now();
    }
  }
}

import type { StepOutput } from "../contract/index.ts";
import type { OutputPipes } from "./output-pipes.ts";

/** Passes on a step's output, one piece at a time, so that a slow reader never gets pieces of both streams at once. */
export class StepOutputReader {
  /** Resolves when no process can print any more and all output was taken. Rejects with what the output threw. */
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

  /** For how long there has been nothing to read; 0 while the reader is busy with earlier output. */
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

import type { Duplex } from "node:stream";
import { keeperDone, keeperReady } from "./container-spec.ts";
import { StreamFrames } from "./stream-frames.ts";

const maxLineLength = 4096;

/** Our end of the connection to a container's keeper. Destroying it ends the container. */
export class Keeper {
  readonly #connection: Duplex;
  readonly #waiting: { readonly line: string; readonly resolve: (seen: boolean) => void }[] = [];
  readonly #gone = Promise.withResolvers<void>();
  #closed = false;
  #tail = "";

  constructor(connection: Duplex) {
    this.#connection = connection;
    const frames = new StreamFrames();
    connection.on("data", (chunk: Buffer) => {
      for (const { bytes } of frames.push(chunk)) this.#read(bytes.toString("latin1"));
    });
    const close = () => {
      this.#closed = true;
      for (const { resolve } of this.#waiting.splice(0)) resolve(false);
      this.#gone.resolve();
      connection.destroy();
    };
    // A broken connection is an ended one: whoever waits learns it from `gone`.
    connection.on("error", close);
    connection.on("end", close);
    connection.on("close", close);
  }

  /** Resolves when the connection has ended: the container is dead, or the engine is. */
  get gone(): Promise<void> {
    return this.#gone.promise;
  }

  get isGone(): boolean {
    return this.#closed;
  }

  /** What it said last: the reason, when it never came up. */
  get lastWords(): string {
    return this.#tail.trim();
  }

  /** Whether the image's shell has come up, `false` when it ended before. */
  ready(): Promise<boolean> {
    return this.#expect(keeperReady);
  }

  /** Sends the signal to every process of the container but its own two; `false` when it does not answer in time. */
  async signal(name: "TERM" | "KILL", timeoutMs: number): Promise<boolean> {
    const answered = this.#expect(keeperDone);
    this.#connection.write(`${name}\n`);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<boolean>((resolve) => {
      timer = setTimeout(resolve, timeoutMs, false);
    });
    try {
      return await Promise.race([answered, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  destroy(): void {
    this.#connection.destroy();
  }

  #expect(line: string): Promise<boolean> {
    if (this.#closed) return Promise.resolve(false);
    return new Promise((resolve) => {
      this.#waiting.push({ line, resolve });
    });
  }

  #read(text: string): void {
    const lines = (this.#tail + text).split("\n");
    // A step could write here through /proc: no more than a line is ever kept.
    this.#tail = (lines.pop() ?? "").slice(-maxLineLength);
    for (const line of lines) {
      const index = this.#waiting.findIndex((each) => each.line === line);
      const [found] = index < 0 ? [] : this.#waiting.splice(index, 1);
      found?.resolve(true);
    }
  }
}

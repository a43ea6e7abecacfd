import type { Duplex } from "node:stream";
import { keeperDone, keeperReady } from "./container-spec.ts";
import { StreamFrames } from "./stream-frames.ts";

const maxLineLength = 4096;

/** The executor's end of the connection to a container's keeper. Destroying it ends the container. */
export class Keeper {
  readonly #connection: Duplex;
  readonly #waiting: { readonly line: string; readonly resolve: (seen: boolean) => void }[] = [];
  readonly #gone = Promise.withResolvers<void>();
  #closed = false;
  #tail = "";
  #lastLine = "";

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
    // A broken connection counts as ended. Callers learn of it from `gone`.
    connection.on("error", close);
    connection.on("end", close);
    connection.on("close", close);
  }

  /** Resolves when the connection has ended, because the container or the engine died. */
  get gone(): Promise<void> {
    return this.#gone.promise;
  }

  get isGone(): boolean {
    return this.#closed;
  }

  /** The last line of the output that has text. It tells why the keeper never came up. */
  get lastWords(): string {
    return this.#tail.trim() || this.#lastLine;
  }

  /** Resolves to `true` when the image's shell is running, to `false` if it ended before. */
  ready(): Promise<boolean> {
    return this.#expect(keeperReady);
  }

  /**
   * Signals every process of the container except docker-init and the keeper. Resolves to `false` if the keeper does
   * not answer in time.
   */
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
    // Steps could write here through /proc, so keep at most one line in memory.
    this.#tail = (lines.pop() ?? "").slice(-maxLineLength);
    for (const line of lines) {
      if (line.trim() !== "") this.#lastLine = line.trim().slice(-maxLineLength);
      const index = this.#waiting.findIndex((each) => each.line === line);
      const [found] = index < 0 ? [] : this.#waiting.splice(index, 1);
      found?.resolve(true);
    }
  }
}

import { createInterface } from "node:readline";
import type { Duplex } from "node:stream";

/** What the launcher says when its place is made. */
export const launcherReady = "ready";

/**
 * The connection to a launcher and, when the step runs, to its first process: see `initCommand`. When the executor dies, it is
 * closed: a launcher that waits then ends.
 */
export class StepChannel {
  readonly #socket: Duplex;
  readonly #ready = Promise.withResolvers<void>();
  readonly #scriptEnded = Promise.withResolvers<number>();
  readonly #answers: ((count: number) => void)[] = [];
  #exitCode: number | undefined;

  constructor(socket: Duplex) {
    this.#socket = socket;
    // A launcher or a step that is dead reads nothing; its end says why.
    socket.on("error", () => {});
    createInterface({ input: socket }).on("line", (line) => this.#read(line));
  }

  /** Resolves when the launcher waits for {@link begin}. Stays pending when it dies before. */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  /** Resolves with the script's exit code when the script ended and left other processes. Stays pending when it left none. */
  get scriptEnded(): Promise<number> {
    return this.#scriptEnded.promise;
  }

  /** The script's exit code, once {@link scriptEnded} has it. */
  get exitCode(): number | undefined {
    return this.#exitCode;
  }

  begin(): void {
    this.#socket.write("go\n");
  }

  /** How many processes the step has besides its first one. To be asked when the script has ended; pending if the step is dead. */
  countProcesses(): Promise<number> {
    const { promise, resolve } = Promise.withResolvers<number>();
    this.#answers.push((count) => resolve(count - 1));
    this.#socket.write("count\n");
    return promise;
  }

  /** Lets the first process end, if it waits. */
  end(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #read(line: string): void {
    if (line === launcherReady) this.#ready.resolve();
    else if (!/^\d{1,7}$/.test(line)) return;
    else if (this.#exitCode === undefined) {
      this.#exitCode = Number(line);
      this.#scriptEnded.resolve(this.#exitCode);
    } else this.#answers.shift()?.(Number(line));
  }
}

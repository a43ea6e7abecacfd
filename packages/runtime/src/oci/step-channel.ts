import type { Duplex } from "node:stream";

/** What the launcher says when its place is made. */
export const launcherReady = "ready";

/** No line of a launcher or of {@link initCommand} is longer. */
const maximumLineLength = 7;
const maximumExitCode = 255;

/**
 * The connection to a launcher and, when the step runs, to its first process: see `initCommand`. When the executor dies, it is
 * closed: a launcher that waits then ends.
 *
 * The first process is the image's shell, which may write anything. At the first line that is not expected, the
 * executor closes its end: it keeps nothing, and reads no further.
 */
export class StepChannel {
  readonly #socket: Duplex;
  readonly #ready = Promise.withResolvers<void>();
  readonly #scriptEnded = Promise.withResolvers<number>();
  readonly #answers: ((count: number) => void)[] = [];
  #isReady = false;
  #exitCode: number | undefined;
  /** The beginning of a line whose end has not come yet. */
  #rest = "";

  constructor(socket: Duplex) {
    this.#socket = socket;
    // A launcher or a step that is dead reads nothing; its end says why.
    socket.on("error", () => {});
    socket.on("data", (bytes: Buffer) => this.#readAll(bytes.toString("latin1")));
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

  /** How many processes the step has besides its first one. To be asked when the script has ended; pending if the step is dead or says nothing. */
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

  #readAll(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    if (lines.some((line) => !this.#read(line)) || this.#rest.length > maximumLineLength) this.#socket.destroy();
  }

  /** @returns whether the line was expected. */
  #read(line: string): boolean {
    if (!this.#isReady) {
      this.#isReady = line === launcherReady;
      if (this.#isReady) this.#ready.resolve();
      return this.#isReady;
    }
    if (!/^\d{1,7}$/.test(line)) return false;
    const number = Number(line);
    if (this.#exitCode === undefined) {
      if (number > maximumExitCode) return false;
      this.#exitCode = number;
      this.#scriptEnded.resolve(number);
      return true;
    }
    const answer = this.#answers.shift();
    answer?.(number);
    return answer !== undefined;
  }
}

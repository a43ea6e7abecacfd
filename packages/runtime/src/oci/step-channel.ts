import type { Duplex } from "node:stream";

/** The launcher's line when everything is prepared. */
export const launcherReady = "ready";

/** Longest line of a launcher and of {@link initCommand}. */
const maximumLineLength = 7;
const maximumExitCode = 255;

/**
 * The connection to a launcher and, when the step runs, to its first process (see `initCommand`). If the executor dies,
 * it is closed, and a waiting launcher ends.
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
  #hasBegun = false;
  #exitCode: number | undefined;
  /** The beginning of a line whose end has not come yet. */
  #rest = "";

  constructor(socket: Duplex) {
    this.#socket = socket;
    // A launcher or step that has died reads nothing. The exit of its process says why.
    socket.on("error", () => {});
    socket.on("data", (bytes: Buffer) => this.#readAll(bytes.toString("latin1")));
  }

  /** Resolves when the launcher waits for {@link begin}. Stays pending if it dies before. */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  /** Resolves with the script's exit code if the script left other processes behind. Otherwise it stays pending. */
  get scriptEnded(): Promise<number> {
    return this.#scriptEnded.promise;
  }

  /** The script's exit code, once {@link scriptEnded} has it. */
  get exitCode(): number | undefined {
    return this.#exitCode;
  }

  get hasBegun(): boolean {
    return this.#hasBegun;
  }

  begin(): void {
    this.#hasBegun = true;
    this.#socket.write("go\n");
  }

  /**
   * Counts the step's processes besides its first one. Call it when the script has ended. Stays pending if the step is
   * dead or does not answer.
   */
  countProcesses(): Promise<number> {
    const { promise, resolve } = Promise.withResolvers<number>();
    this.#answers.push((count) => resolve(count - 1));
    this.#socket.write("count\n");
    return promise;
  }

  /** Lets a waiting first process end. */
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

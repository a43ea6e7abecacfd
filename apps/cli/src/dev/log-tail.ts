import { type FileHandle, open } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";

const pollMs = 100;
const mostKept = 30;

/**
 * Reads the lines that are appended to a log file. The child writes to the file itself rather than to a pipe. That way
 * its last messages are kept even if this process has ended.
 */
export class LogTail {
  readonly #file: FileHandle;
  readonly #onLine: (line: string) => void;
  readonly #buffer = Buffer.alloc(64 * 1024);
  readonly #last: string[] = [];
  #position: number;
  #rest = "";
  #decoder = new TextDecoder();
  #reading: Promise<void> = Promise.resolve();
  readonly #stop = new AbortController();

  private constructor(file: FileHandle, position: number, onLine: (line: string) => void) {
    this.#file = file;
    this.#position = position;
    this.#onLine = onLine;
    void this.#poll();
  }

  /** Starts at the current end of the file. */
  static async open(path: string, onLine: (line: string) => void): Promise<LogTail> {
    const file = await open(path, "r");
    const { size } = await file.stat();
    return new LogTail(file, size, onLine);
  }

  /** The last lines read, at most 30. */
  get lastLines(): readonly string[] {
    return this.#last;
  }

  /** Reads the remaining lines and closes the file. */
  async close(): Promise<void> {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort();
    await this.#readOn();
    if (this.#rest !== "") this.#take(this.#rest);
    await this.#file.close();
  }

  async #poll(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await this.#readOn();
      await delay(pollMs, undefined, { signal: this.#stop.signal, ref: false }).catch(() => undefined);
    }
  }

  #readOn(): Promise<void> {
    this.#reading = this.#reading.then(() => this.#read());
    return this.#reading;
  }

  async #read(): Promise<void> {
    for (;;) {
      const { bytesRead } = await this.#file.read(this.#buffer, 0, this.#buffer.length, this.#position);
      if (bytesRead === 0) return;
      this.#position += bytesRead;
      const lines = (this.#rest + this.#decoder.decode(this.#buffer.subarray(0, bytesRead), { stream: true })).split(
        "\n",
      );
      this.#rest = (lines.pop() ?? "").slice(-this.#buffer.length);
      for (const line of lines) this.#take(line);
    }
  }

  #take(line: string): void {
    this.#last.push(line);
    if (this.#last.length > mostKept) this.#last.shift();
    this.#onLine(line);
  }
}

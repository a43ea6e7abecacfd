import { once } from "node:events";
import { newOwnMark, ownLines } from "@airlock/api";
import type { OutputStream } from "../context/command-context.ts";
import { type Paint, painter } from "../terminal/paint.ts";
import { SafeOutput } from "../terminal/safe-output.ts";
import { truncate } from "../terminal/truncate.ts";

/**
 * Prints a job's output and Airlock's own lines side by side.
 * Output goes to the stream that the job chose. On a terminal it is sanitized, with a mark before each line; elsewhere
 * it is printed byte for byte.
 * Own lines go to stderr, as does the status line at the bottom of a terminal. If stderr is not a terminal, own lines
 * carry a mark.
 */
export class LogScreen implements Disposable {
  readonly paint: Paint;
  readonly #stderr: OutputStream;
  readonly #channels: Readonly<Record<"stdout" | "stderr", Channel>>;
  #status = "";
  #statusShown = false;
  #ticks = 0;
  #ticker: NodeJS.Timeout | undefined;
  /** Begins own lines in a stderr that also receives the bytes of a job. */
  #mark: string | undefined;

  constructor({ stdout, stderr }: { readonly stdout: OutputStream; readonly stderr: OutputStream }) {
    this.#stderr = stderr;
    this.paint = painter(stderr);
    this.#channels = { stdout: new Channel(stdout), stderr: new Channel(stderr) };
  }

  /** Whether stderr is a terminal: then states appear in the status line instead of in lines of their own. */
  get isLive(): boolean {
    return this.#stderr.isTTY === true;
  }

  /** Must be called before the first output. */
  async expectOutput(): Promise<void> {
    if (this.isLive || this.#mark !== undefined) return;
    this.#mark = newOwnMark();
    await this.line("Only lines that begin with this mark are written by airlock.");
  }

  /** Writes output of the job. Resolves when the stream accepts more (backpressure). */
  async output(stream: "stdout" | "stderr", bytes: Uint8Array): Promise<void> {
    this.#hideStatus();
    const channel = this.#channels[stream];
    const other = this.#channels[stream === "stdout" ? "stderr" : "stdout"];
    // Both streams share the screen, so finish an open line of the other one first.
    if (channel.isTerminal && other.isTerminal) await other.breakLine();
    await channel.write(bytes);
    this.#showStatus();
  }

  /** Ends the output of one entry: flushes an incomplete character, drops an incomplete escape sequence. */
  async endEntry(): Promise<void> {
    this.#hideStatus();
    await this.#channels.stdout.end();
    await this.#channels.stderr.end();
  }

  /** Prints one of Airlock's own lines. `text` must be safe. */
  async line(text: string): Promise<void> {
    this.#hideStatus();
    if (this.#channels.stdout.isTerminal) await this.#channels.stdout.breakLine();
    await this.#channels.stderr.breakLine();
    await write(this.#stderr, this.#mark === undefined ? `${text}\n` : ownLines(this.#mark, text));
    this.#showStatus();
  }

  /** Sets the status line: what happens right now. Shown on terminals only. `text` must be safe text of one line. */
  status(text: string): void {
    if (!this.isLive) return;
    this.#status = text;
    if (!this.#ticker) {
      this.#ticker = setInterval(() => {
        this.#ticks += 1;
        if (this.#statusShown) this.#showStatus();
      }, 100);
      this.#ticker.unref();
    }
    this.#showStatus();
  }

  clearStatus(): void {
    this.#hideStatus();
    this.#status = "";
    clearInterval(this.#ticker);
    this.#ticker = undefined;
  }

  [Symbol.dispose](): void {
    this.clearStatus();
  }

  #showStatus(): void {
    // The status line needs a row of its own, so hide it while a line of output is incomplete.
    if (
      this.#status === "" ||
      !Object.values(this.#channels).every((channel) => !channel.isTerminal || channel.atLineStart)
    ) {
      return;
    }
    const width = Math.max(20, (this.#stderr.columns ?? 80) - 4);
    const shown = truncate(this.#status, width);
    const spinner = spinnerFrames[this.#ticks % spinnerFrames.length] ?? "";
    this.#stderr.write(`\r\u001b[K${this.paint("cyan", spinner)} ${this.paint("dim", shown)}`);
    this.#statusShown = true;
  }

  #hideStatus(): void {
    if (this.#statusShown) this.#stderr.write("\r\u001b[K");
    this.#statusShown = false;
  }
}

const spinnerFrames = [..."⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"];

/** One of the two output streams. */
class Channel {
  readonly isTerminal: boolean;
  readonly #stream: OutputStream;
  readonly #safeOutput: SafeOutput;
  #openRawLine = false;

  constructor(stream: OutputStream) {
    this.#stream = stream;
    this.isTerminal = stream.isTTY === true;
    this.#safeOutput = new SafeOutput({
      mark: `${painter(stream)("dim", "│")} `,
      columns: () => stream.columns,
    });
  }

  get atLineStart(): boolean {
    return this.isTerminal ? this.#safeOutput.atLineStart : !this.#openRawLine;
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (bytes.length === 0) return;
    if (this.isTerminal) await write(this.#stream, this.#safeOutput.push(bytes));
    else {
      this.#openRawLine = bytes.at(-1) !== newline;
      await write(this.#stream, bytes);
    }
  }

  async end(): Promise<void> {
    if (!this.isTerminal) return;
    await write(this.#stream, this.#safeOutput.end() + this.#safeOutput.breakLine());
  }

  async breakLine(): Promise<void> {
    if (this.isTerminal) await write(this.#stream, this.#safeOutput.breakLine());
    else if (this.#openRawLine) await write(this.#stream, "\n");
    this.#openRawLine = false;
  }
}

const newline = 0x0a;

async function write(stream: OutputStream, data: string | Uint8Array): Promise<void> {
  if (data.length === 0) return;
  // `main.ts` handles a closed reader (EPIPE). It never drains, so don't wait for it.
  if (stream.write(data) || !stream.writable) return;
  const settled = new AbortController();
  const { signal } = settled;
  try {
    await Promise.race([once(stream, "drain", { signal }), once(stream, "close", { signal })]);
  } finally {
    // Remove the listener of the event that did not come.
    settled.abort();
  }
}

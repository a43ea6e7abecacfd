import { EventEmitter } from "node:events";
import { Readable, Writable } from "node:stream";
import type { CommandContext, OutputStream } from "../context/command-context.ts";

/** A context that records what a command prints. */
export interface TestContext extends CommandContext {
  /** `null` if no exit code was set, which means success. */
  readonly exitCode: number | null;
  readonly printed: { readonly stdout: string; readonly stderr: string };
  /** Simulates Ctrl-C. */
  interrupt(): void;
}

export function testContext(
  options: { env?: NodeJS.ProcessEnv; cwd?: string; stdin?: string | Readable; isTerminal?: boolean } = {},
): TestContext {
  const stdout = new Sink(options.isTerminal ?? false);
  const stderr = new Sink(options.isTerminal ?? false);
  const signals = new EventEmitter();
  const input = options.stdin ?? "";
  const stdin = Object.assign(typeof input === "string" ? Readable.from([Buffer.from(input)]) : input, {
    isTTY: options.isTerminal ?? false,
  });
  let exitCode: number | null = null;
  return {
    env: options.env ?? {},
    cwd: options.cwd ?? "/",
    stdin,
    stdout: stdout as unknown as OutputStream,
    stderr: stderr as unknown as OutputStream,
    signals,
    setExitCode: (code) => {
      exitCode = code;
    },
    exit: (code) => {
      throw new Error(`exit ${code}`);
    },
    get exitCode() {
      return exitCode;
    },
    get printed() {
      return { stdout: stdout.text, stderr: stderr.text };
    },
    interrupt: () => signals.emit("SIGINT", "SIGINT"),
  };
}

class Sink extends Writable {
  readonly isTTY: boolean;
  readonly columns = 80;
  readonly #chunks: Buffer[] = [];

  constructor(isTTY: boolean) {
    super();
    this.isTTY = isTTY;
  }

  get text(): string {
    return Buffer.concat(this.#chunks).toString();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#chunks.push(chunk);
    done();
  }
}

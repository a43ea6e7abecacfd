import { spawn } from "node:child_process";

export interface HostCommandOptions {
  /** The whole environment of the command: nothing is inherited. */
  readonly env: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  readonly stdin?: string | Buffer;
  /** Sees both streams as they come; stderr is kept besides, stdout only where nobody sees it. */
  readonly onStdout?: (bytes: Buffer) => void;
  readonly onStderr?: (bytes: Buffer) => void;
}

export interface HostCommandResult {
  /** -1 when a signal ended it. */
  readonly exitCode: number;
  /** At most 1 MiB; empty when `onStdout` took it. */
  readonly stdout: string;
  /** The last 64 KiB. */
  readonly stderr: string;
}

const maximumStdoutBytes = 1024 * 1024;
const maximumStderrBytes = 64 * 1024;
const terminationGraceMs = 2000;

/**
 * Runs a program of the host by its argument vector, never through a shell. An exit code other than 0 is a result.
 * Aborting ends its whole process group, with time to take away lock files, and throws `signal.reason`.
 */
export async function runHostCommand(argv: readonly string[], options: HostCommandOptions): Promise<HostCommandResult> {
  const { env, signal, stdin, onStdout, onStderr } = options;
  signal.throwIfAborted();
  const [program = "", ...args] = argv;
  const child = spawn(program, args, {
    env,
    detached: true,
    stdio: [stdin === undefined ? "ignore" : "pipe", "pipe", "pipe"],
  });
  const stdout = new Tail(maximumStdoutBytes);
  const stderr = new Tail(maximumStderrBytes);
  child.stdout?.on("data", (bytes: Buffer) => (onStdout ? onStdout(bytes) : stdout.push(bytes)));
  child.stderr?.on("data", (bytes: Buffer) => {
    stderr.push(bytes);
    onStderr?.(bytes);
  });
  // A program that ends without reading its input is no error of ours.
  child.stdin?.on("error", () => {});
  child.stdin?.end(stdin);

  let killTimer: NodeJS.Timeout | undefined;
  const terminate = () => {
    killGroup(child.pid, "SIGTERM");
    killTimer = setTimeout(() => killGroup(child.pid, "SIGKILL"), terminationGraceMs);
  };
  signal.addEventListener("abort", terminate, { once: true });
  try {
    const exitCode = await new Promise<number>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code) => resolve(code ?? -1));
    });
    signal.throwIfAborted();
    return { exitCode, stdout: stdout.text(), stderr: stderr.text() };
  } finally {
    clearTimeout(killTimer);
    signal.removeEventListener("abort", terminate);
  }
}

function killGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch (error) {
    // It has ended in the meantime.
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

class Tail {
  readonly #maximumBytes: number;
  #parts: Buffer[] = [];
  #bytes = 0;

  constructor(maximumBytes: number) {
    this.#maximumBytes = maximumBytes;
  }

  push(bytes: Buffer): void {
    this.#parts.push(bytes);
    this.#bytes += bytes.length;
    if (this.#bytes > 2 * this.#maximumBytes) this.#cut();
  }

  #cut(): void {
    const kept = Buffer.concat(this.#parts).subarray(-this.#maximumBytes);
    this.#parts = [kept];
    this.#bytes = kept.length;
  }

  text(): string {
    this.#cut();
    return this.#parts[0]?.toString() ?? "";
  }
}

import type { Readable } from "node:stream";
import type { WriteStream } from "node:tty";

/** A stream that may be a terminal; `isTTY` and `columns` exist only then. */
export type OutputStream = NodeJS.WritableStream & Partial<Pick<WriteStream, "isTTY" | "columns">>;

/** What a command may use of its process; `main.ts` fills it in. */
export interface CommandContext {
  readonly env: NodeJS.ProcessEnv;
  /** Absolute path. */
  readonly cwd: string;
  readonly stdin: Readable;
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  readonly signals: SignalSource;
  /** Sets the exit code of the process. A command that succeeds need not call it. */
  setExitCode(code: number): void;
  /** Ends the process immediately, when Ctrl-C is pressed twice. */
  exit(code: number): never;
}

/** Source of interrupts: the process, or a stand-in in tests. */
export interface SignalSource {
  on(signal: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void): unknown;
  off(signal: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void): unknown;
}

import type { Readable } from "node:stream";
import type { WriteStream } from "node:tty";

/** A stream that people may look at; `isTTY` and `columns` are there when it is a terminal. */
export type OutputStream = NodeJS.WritableStream & Partial<Pick<WriteStream, "isTTY" | "columns">>;

/** What a command gets of the process that it runs in; `main.ts` fills it in. */
export interface CommandContext {
  readonly env: NodeJS.ProcessEnv;
  /** Absolute. */
  readonly cwd: string;
  readonly stdin: Readable;
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  readonly signals: SignalSource;
  /** The exit code of the process; commands that end well leave it. */
  setExitCode(code: number): void;
  /** Ends the process now, for those who press Ctrl-C twice. */
  exit(code: number): never;
}

/** Where interrupts come from: the process. */
export interface SignalSource {
  on(signal: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void): unknown;
  off(signal: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void): unknown;
}

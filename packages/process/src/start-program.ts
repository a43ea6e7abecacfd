import type { Readable, Writable } from "node:stream";
import { type ProgramEnd, ProgramGroup, type StartOptions } from "./program-group.ts";

/** A program whose streams the caller reads and writes. */
export interface RunningProgram {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Resolves when the program has ended and its output was read. */
  readonly ended: Promise<ProgramEnd>;
  /**
   * Ends the program and its descendants: SIGTERM to its process group, SIGKILL 2 s later. Safe to call repeatedly, and
   * after the end.
   */
  stop(): void;
}

/**
 * Starts a program from an argument vector, never through a shell. The caller must end its input and read both output
 * streams from the start. Node drops unread output when the program ends.
 * @throws {ProgramError} `not-found` or `not-started`.
 */
export async function startProgram(command: readonly string[], options: StartOptions = {}): Promise<RunningProgram> {
  const program = new ProgramGroup(command, options);
  await program.started;
  return program;
}

import type { Abortable } from "./abortable.ts";
import type { ReadOnlyFile } from "./workspace.ts";

export interface StepOptions extends Abortable {
  readonly output: StepOutput;
  /** Image of the following step, so that the runtime can prepare it meanwhile. Default: none. */
  readonly nextImage?: string;
}

export interface SandboxStep {
  /** Unique in the job. Used in names: `[A-Za-z0-9._-]`. */
  readonly key: string;
  /** A reference that `prepareImage` accepted, or `host`: the host's own tool chain, read-only. */
  readonly image: string;
  /**
   * Files below `/airlock` that exist only while this step runs: its script, its secrets. The runtime protects them
   * from every other user of the host.
   */
  readonly files: readonly ReadOnlyFile[];
  /** Absolute path of one of `files`. Run as `/bin/sh PATH`; the image's entrypoint and command are not used. */
  readonly script: string;
  /** Absolute path inside the sandbox, under `/data`. Created if it does not exist. */
  readonly workingDirectory: string;
  /** Added to the image's own environment and takes precedence over it. Never put on a command line. */
  readonly env: Readonly<Record<string, string>>;
}

/**
 * Receives a step's output in order. The runtime waits for the returned promise before it reads further (backpressure),
 * so a slow reader slows the step instead of filling memory. The callee may keep the buffers.
 */
export type StepOutput = (stream: "stdout" | "stderr", bytes: Buffer) => void | Promise<void>;

export type StepStatus =
  /** 128 + n may also mean that signal n ended the script. The exit code alone does not tell. */
  (
    | { readonly kind: "exited"; readonly exitCode: number }
    /** Only if a signal is known to have ended the step. `signal` is its name, e.g. `SIGKILL`. */
    | { readonly kind: "killed"; readonly signal: string; readonly outOfMemory: boolean }
  ) & {
    /**
     * Limits that were reached during the step and that the status itself does not show, for the job's log; one
     * sentence each.
     */
    readonly notes?: readonly string[];
    /** The `notes` that explain a failure, e.g. that the disk is full. */
    readonly causes?: readonly string[];
  };

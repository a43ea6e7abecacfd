import type { Abortable } from "./abortable.ts";
import type { ReadOnlyFile } from "./workspace.ts";

export interface StepOptions extends Abortable {
  readonly output: StepOutput;
  /** Of the step that comes after this one: what it needs may be made ready meanwhile. Default: none is known of. */
  readonly nextImage?: string;
}

export interface SandboxStep {
  /** Unique in the job; part of names, `[A-Za-z0-9._-]`. */
  readonly key: string;
  /** A reference that `prepareImage` accepted, or `host`: the host's own tool chain, read-only. */
  readonly image: string;
  /**
   * Files below `/airlock` that are there while this step runs and for no other step: its script, its secrets. A runtime
   * keeps them from every other user of the host.
   */
  readonly files: readonly ReadOnlyFile[];
  /** Absolute path of one of `files`, run as `/bin/sh PATH`; the image's entrypoint and command are not used. */
  readonly script: string;
  /** Absolute path inside the sandbox, under `/data`; made if it does not exist. */
  readonly workingDirectory: string;
  /** Added to the image's own environment, winning over it. Never put on a command line. */
  readonly env: Readonly<Record<string, string>>;
}

/**
 * Takes a step's output as it comes, in order. The runtime waits for the returned promise before it reads further, so
 * a slow reader slows the step instead of filling memory. Buffers are the callee's to keep.
 */
export type StepOutput = (stream: "stdout" | "stderr", bytes: Buffer) => void | Promise<void>;

export type StepStatus =
  /** 128 + n may also mean that signal n ended the script: an exit code alone does not tell. */
  (
    | { readonly kind: "exited"; readonly exitCode: number }
    /** Only where a signal is known to have ended the step. `signal` is its name, e.g. `SIGKILL`. */
    | { readonly kind: "killed"; readonly signal: string; readonly outOfMemory: boolean }
  ) & {
    /** Limits that were reached meanwhile and that the end itself does not show, one sentence each, for the job's log. */
    readonly notes?: readonly string[];
    /** Those of `notes` that explain a failure, e.g. that the disk is full. */
    readonly causes?: readonly string[];
  };

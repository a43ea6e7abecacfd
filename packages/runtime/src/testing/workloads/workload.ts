import type { debianImages } from "@airlock/test-kit";
import type { Hardening } from "../../isolation/hardening.ts";

/** Something that jobs do every day, run in a sandbox with the defaults. */
export interface Workload {
  /** Unique, in kebab case. */
  readonly id: string;
  /** What works, as the beginning of a sentence: "… with the defaults". */
  readonly does: string;
  /** Steps of one job, in order, in one workspace. */
  readonly steps: readonly WorkloadStep[];
  /** Timeout of each step in milliseconds. Default: 60,000. */
  readonly timeoutMs?: number;
}

export interface WorkloadStep {
  /** Default: the plain image, whose user is root. */
  readonly image?: keyof typeof debianImages;
  /**
   * Run by `/bin/sh -eu` in `/data`; it has to succeed. `$MIRROR` is the address of the test's package sources,
   * `$INPUT` a directory of the workspace with the workload's files.
   */
  readonly script: string;
  /** A pattern that the step's output has to match as well. */
  readonly prints?: RegExp;
}

/** Something that deliberately does not work with the defaults, and the setting that allows it. */
export interface Refusal {
  readonly id: string;
  readonly does: string;
  /** Exits with 0 if it works. */
  readonly script: string;
  /** What the step prints with the defaults. */
  readonly says: RegExp;
  readonly relaxation: Partial<Hardening>;
}

import type { debianImages } from "@airlock/test-kit";
import type { Hardening } from "../../isolation/hardening.ts";

/** Something that jobs do every day, done for real in a sandbox with the defaults. */
export interface Workload {
  /** Unique, in kebab case. */
  readonly id: string;
  /** What works, as a sentence's beginning: "… with the defaults". */
  readonly does: string;
  /** Steps of one job, in order, in one workspace. */
  readonly steps: readonly WorkloadStep[];
  /** Of each step, in ms. Default: 60,000. */
  readonly timeoutMs?: number;
}

export interface WorkloadStep {
  /** Default: the plain image, whose user is root. */
  readonly image?: keyof typeof debianImages;
  /**
   * Run by `/bin/sh -eu` in `/data`; it has to come to its end. `$MIRROR` is the address of the test's package sources,
   * `$INPUT` a directory of the workspace with the workload's files.
   */
  readonly script: string;
  /** What the step has to print besides. */
  readonly prints?: RegExp;
}

/** Something that does not work with the defaults, on purpose, and what an administrator sets for it. */
export interface Refusal {
  readonly id: string;
  readonly does: string;
  /** Ends with 0 where it works. */
  readonly script: string;
  /** What the step prints with the defaults. */
  readonly says: RegExp;
  readonly relaxation: Partial<Hardening>;
}

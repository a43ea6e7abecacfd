import { z } from "zod";
import { PlainText } from "../primitives/stored-text.ts";

export const stepStates = ["pending", "running", "succeeded", "failed", "skipped"] as const;
export type StepState = (typeof stepStates)[number];

/** The state or result of one step of an attempt. */
export const StepResult = z.object({
  key: PlainText.min(1).max(1000),
  state: z.enum(stepStates),
  /** `null` if the step did not run, still runs, or was killed. */
  exitCode: z.int().nullable(),
  durationMs: z.int().nonnegative().nullable(),
});
export type StepResult = z.output<typeof StepResult>;

/**
 * `file-archive`: the files that `outputs` selects, as one `.tar.gz`. `diff`: the changes of the workspace since the
 * job's commit, for `git apply`.
 */
export const artifactKinds = ["file-archive", "diff"] as const;
export type ArtifactKind = (typeof artifactKinds)[number];

/** Safe as a file name on every system, and in a header. */
export const ArtifactName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/, "letters, digits, '.', '_' and '-', at most 128 characters");

import { jobStates } from "@airlock/job";
import { z } from "zod";
import { JobSpec } from "../job/job-spec.ts";
import { LogEvent } from "./log-batch.ts";

/** What `airlock run` writes to the standard input of `executor run-job`, as JSON. */
export const LocalRunRequest = z.strictObject({
  spec: JobSpec,
  /** A commit of a repository on this machine; `null`: the workspace is empty. */
  source: z.strictObject({ root: z.string().min(1), commit: z.string().min(1) }).nullable(),
  /** Values of the secrets that the steps name. */
  secrets: z.record(z.string(), z.string()),
  /** Absolute path of an existing directory for artifacts; `null`: none are kept. */
  artifacts: z.string().min(1).nullable(),
});
export type LocalRunRequest = z.output<typeof LocalRunRequest>;

/** What `executor run-job` writes to its standard output, one per line. The last one is the end. */
export const LocalRunEvent = z.union([
  LogEvent,
  z.object({ kind: z.literal("artifact"), name: z.string(), bytes: z.int() }),
  z.object({
    kind: z.literal("end"),
    state: z.enum(jobStates).extract(["completed", "failed", "errored", "canceled"]),
    /** Of the failed step; `null`: the job did not end with an exit code. */
    exitCode: z.int().nullable(),
    message: z.string().nullable(),
  }),
]);
export type LocalRunEvent = z.output<typeof LocalRunEvent>;

import { failureReasons, jobStates } from "@airlock/job";
import { z } from "zod";
import { defaultCheckout } from "../job/checkout.ts";
import { Egress, Namespace, Resources, SecretName } from "../job/job-spec.ts";
import { stepStates } from "../job/results.ts";
import { Ordinal } from "../primitives/primitives.ts";
import { StoredText } from "../primitives/stored-text.ts";
import { ArtifactView } from "./artifacts.ts";

const Timestamp = z.iso.datetime();

/** Explains why the job has not progressed further, computed from states. */
export const Explanation = z.object({
  /** Stable: `waiting-for-executor`, `no-executor`, `back-off`, `running`, `canceling`, `executor-silent`, `finished`, … */
  code: z.string(),
  message: z.string(),
});
export type Explanation = z.output<typeof Explanation>;

export const JobSummary = z.object({
  id: z.int(),
  queue: z.string(),
  namespace: z.string(),
  state: z.enum(jobStates),
  repository: z.string().nullable(),
  revision: z.string(),
  /** Full SHA to which the revision resolved when the job was submitted. */
  commit: z.string().nullable(),
  attempt: z.int(),
  executor: z.string().nullable(),
  queuedAt: Timestamp,
  startedAt: Timestamp.nullable(),
  finishedAt: Timestamp.nullable(),
  failureReason: z.enum(failureReasons).nullable(),
  failureMessage: z.string().nullable(),
  cancelRequested: z.boolean(),
  /** Keys of the steps, for lists: `["test", "build"]`. */
  stepKeys: z.array(z.string()),
  /**
   * Why no executor that is connected now would take the queued job, in one sentence. `null` if one would, or in other
   * states.
   */
  obstacle: z.string().nullable().default(null),
});
export type JobSummary = z.output<typeof JobSummary>;

export const AttemptView = z.object({
  attempt: z.int(),
  state: z.enum(["processing", "completed", "errored", "failed", "canceled"]),
  executor: z.string(),
  startedAt: Timestamp,
  finishedAt: Timestamp.nullable(),
  failureReason: z.enum(failureReasons).nullable(),
  failureMessage: z.string().nullable(),
});
export type AttemptView = z.output<typeof AttemptView>;

export const LogEntryView = z.object({
  attempt: z.int(),
  entryId: z.int(),
  /** `setup.git.fetch`, `step.docker.test`, `teardown.fs`, … */
  key: z.string(),
  command: z.array(z.string()),
  startedAt: Timestamp,
  /** `null` while it runs. */
  exitCode: z.int().nullable(),
  durationMs: z.int().nullable(),
  /** Bytes of output so far. */
  length: z.int(),
  /** Number of messages of the executor so far. They are not part of the output. */
  notes: z.int().default(0),
});
export type LogEntryView = z.output<typeof LogEntryView>;

export const StepView = z.object({
  key: z.string(),
  image: z.string(),
  commands: z.array(z.string()),
  dir: z.string(),
  /** Names of the secrets that the step gets as a variable or, with `file`, as a file. */
  secrets: z.array(z.object({ name: SecretName, file: z.boolean() })).default([]),
  /** State in the last attempt. */
  state: z.enum(stepStates),
  exitCode: z.int().nullable(),
  durationMs: z.int().nullable(),
});

export const JobView = JobSummary.extend({
  priority: z.int(),
  checkout: z
    .object({ depth: z.union([z.int(), z.literal("full")]), tags: z.boolean(), paths: z.array(z.string()) })
    .default(defaultCheckout),
  labels: z.record(z.string(), z.string()),
  resources: Resources,
  /** `null`: the default of the executor that runs the job. */
  egress: Egress.nullable(),
  timeoutMs: z.int().nullable(),
  /** While the job is queued: how long it may wait for an executor. `null`: forever, or the job is not queued. */
  maxWaitMs: z.int().nullable().default(null),
  outputs: z.array(z.string()),
  /** Whether the job asked for a diff of the workspace. */
  diff: z.boolean(),
  /** Whether the steps can send code indexes to the instance. */
  upload: z.boolean().default(false),
  /** What the steps find beside their sandbox: `docker`, a Docker daemon of their own. */
  services: z.array(z.string()).default([]),
  steps: z.array(StepView),
  /**
   * The exit code to show the submitter: 0 if completed, the failing step's code, 1 for any other end. `null` until it
   * ends.
   */
  exitCode: z.int().nullable(),
  attempts: z.array(AttemptView),
  entries: z.array(LogEntryView),
  /** Artifacts of all attempts. */
  artifacts: z.array(ArtifactView),
  explanation: Explanation,
  /** Facts that the submitter should know, one sentence each: an ambiguous revision, a log that was cut. */
  warnings: z.array(z.string()),
});
export type JobView = z.output<typeof JobView>;

const LabelFilter = StoredText.max(511).regex(/^[^=]{1,255}=[\s\S]{0,255}$/, "write it as KEY=VALUE");

function splitLabel(text: string): readonly [string, string] {
  const at = text.indexOf("=");
  return [text.slice(0, at), text.slice(at + 1)];
}

export const ListJobsQuery = z.strictObject({
  /** Comma-separated states. */
  state: z
    .string()
    .optional()
    .transform((text) => (text ? text.split(",") : []))
    .pipe(z.array(z.enum(jobStates))),
  queue: StoredText.max(255).optional(),
  repository: StoredText.max(1000).optional(),
  namespace: Namespace.optional(),
  /** `KEY=VALUE`, repeatable: only jobs that ask for all of these labels of an executor. */
  label: z
    .union([LabelFilter.transform((label) => [label]), z.array(LabelFilter).max(20)])
    .default([])
    .transform((labels) => labels.map((label) => splitLabel(label))),
  /** Part of the repository, the revision, the commit or the reason of the failure, in any case of letters. */
  text: StoredText.trim().max(200).optional(),
  /** Only jobs queued at this time or later. A retry queues a job again. */
  since: z.iso.datetime().optional(),
  /** Only jobs with a smaller id; used for the next page. */
  before: z.coerce.number().int().positive().optional(),
  limit: z.coerce.number().int().min(1).max(200).default(50),
});
export const JobList = z.object({
  jobs: z.array(JobSummary),
  /** `before` of the next page. */ next: z.int().nullable(),
});
export type JobList = z.output<typeof JobList>;

/** `GET /api/v1/jobs/{id}/logs`: plain text of one attempt (default: the last), all entries. */
export const JobLogsQuery = z.strictObject({
  attempt: z.coerce.number().pipe(Ordinal).optional(),
  entry: z.coerce.number().pipe(Ordinal).optional(),
  /**
   * `true`: includes headings and messages of executor and instance. Their lines start with a mark that is new for
   * every response; the first line explains it. No step can write such a line.
   * `false`: only the output, byte for byte.
   * Default: `true` for a whole attempt, `false` for one entry.
   */
  notes: z.enum(["true", "false"]).optional(),
  /** `true`: each line of output begins with the time at which the instance got it, in UTC. Default: `false`. */
  times: z.enum(["true", "false"]).default("false"),
});

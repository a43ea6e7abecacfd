import { z } from "zod";
import { Egress, Resources, SecretName } from "../job/job-spec.ts";
import { nullableArray } from "../primitives/primitives.ts";

/** The answer to a dequeue, as the executor reads it. `JobPayloadWire` below is what the instance writes. */
const goZeroTime = "0001-01-01T00:00:00Z";

/** A file written into the workspace after the checkout. `content` is base64 in version 2, plain text in version 1. */
export const PayloadFile = z.object({
  content: z.string().optional(),
  bucket: z.string().optional(),
  key: z.string().optional(),
  modifiedAt: z
    .string()
    .optional()
    .transform((text) => (text === undefined || text === goZeroTime ? undefined : new Date(text))),
});

export const DockerStep = z.object({
  key: z.string().optional(),
  image: z.string(),
  /** Lines of the step's script. */
  commands: nullableArray(z.string()),
  /** Relative to the workspace. */
  dir: z.string().default(""),
  /** `K=V` each. */
  env: nullableArray(z.string()),
});

export const CliStep = z.object({
  key: z.string().optional(),
  command: nullableArray(z.string()),
  dir: z.string().default(""),
  env: nullableArray(z.string()),
});

/** A secret that one step, and no other, finds as a file. */
export const SecretFile = z.object({
  /** Position of the step in `dockerSteps`. */
  step: z.int().nonnegative(),
  /** Of the file, and before `_FILE` of the variable that holds its path. */
  name: SecretName,
  value: z.string(),
});
export type SecretFile = z.output<typeof SecretFile>;

/** What an Airlock instance tells an Airlock executor beyond the base payload. */
export const PayloadExtension = z.object({
  attempt: z.int().positive(),
  /** The attempt's lease in ms: with no successful heartbeat for this long, the executor stops the job itself. */
  leaseMs: z.int().positive(),
  heartbeatIntervalMs: z.int().positive(),
  /** Wall time of the whole job in ms, from the start of its workspace; `null` leaves it to the executor's maximum. */
  timeoutMs: z.int().positive().nullable(),
  resources: Resources,
  /** More exact than `shallowClone` and `fetchTags`, which are what other executors understand of it. */
  checkout: z
    .object({
      /** Commits of history, the job's own included; `null`: all of them. */
      depth: z.int().positive().nullable(),
      /** `reachable`: only tags that lead to a commit of the history. */
      tags: z.enum(["none", "reachable"]),
    })
    .optional(),
  /** Left out: the executor's default. */
  egress: Egress.optional(),
  /** What this instance knows of `executorCapabilities`. */
  capabilities: nullableArray(z.string()),
  /**
   * How scripts treat failures. `strict`: the step ends at the first failing command, nothing is traced. `protocol`: the
   * preamble of the protocol, which traces and goes on.
   */
  shell: z.enum(["strict", "protocol"]).default("protocol"),
  /** Globs in the workspace whose files are uploaded after the last step. */
  outputs: nullableArray(z.string()),
  /** Whether the workspace's difference to the commit is uploaded after the last step. */
  diff: z.boolean().default(false),
  /** What the artifacts of an attempt may weigh together as they are uploaded, in bytes. */
  maxArtifactBytes: z.int().nonnegative().optional(),
  secretFiles: nullableArray(SecretFile),
});
export type PayloadExtension = z.output<typeof PayloadExtension>;

const RegistryAuth = z.object({
  /** Base64 of `USER:PASSWORD`. */
  auth: z.string().optional(),
  username: z.string().optional(),
  password: z.string().optional(),
  identitytoken: z.string().optional(),
  registrytoken: z.string().optional(),
});

export const JobPayload = z.object({
  version: z.int().optional(),
  id: z.int().positive(),
  token: z.string().default(""),
  queue: z.string().optional(),
  repositoryName: z.string().default(""),
  repositoryDirectory: z.string().default(""),
  commit: z.string().default(""),
  fetchTags: z.boolean().default(false),
  shallowClone: z.boolean().default(false),
  sparseCheckout: nullableArray(z.string()),
  /** 2022 instances send plain text in place of the object. */
  files: z
    .record(z.string(), z.union([PayloadFile, z.string().transform((content) => ({ content, modifiedAt: undefined }))]))
    .nullish()
    .transform((files) => files ?? {}),
  dockerSteps: nullableArray(DockerStep),
  cliSteps: nullableArray(CliStep),
  /** Secret → what stands in its place in logs. */
  redactedValues: z
    .record(z.string(), z.string())
    .nullish()
    .transform((values) => values ?? {}),
  dockerAuthConfig: z.object({ auths: z.record(z.string(), RegistryAuth).optional() }).optional(),
  airlock: PayloadExtension.optional(),
});
/** A job as an executor holds it. */
export type JobPayload = z.output<typeof JobPayload>;
/** A job as an instance writes it. */
export type JobPayloadWire = z.input<typeof JobPayload>;

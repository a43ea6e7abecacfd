import { z } from "zod";
import { Egress, Resources, SecretName } from "../job/job-spec.ts";
import { nullableArray } from "../primitives/primitives.ts";

/** Go's zero time, which means that there is no modification time. */
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
  /** `K=V` pairs. */
  env: nullableArray(z.string()),
});

export const CliStep = z.object({
  key: z.string().optional(),
  command: nullableArray(z.string()),
  dir: z.string().default(""),
  env: nullableArray(z.string()),
});

/** A secret that a single step gets as a file. */
export const SecretFile = z.object({
  /** Index of the step in `dockerSteps`. */
  step: z.int().nonnegative(),
  /** Name of the file. The variable `NAME_FILE` holds its path. */
  name: SecretName,
  value: z.string(),
});
export type SecretFile = z.output<typeof SecretFile>;

/** What an Airlock instance adds to the payload for an Airlock executor. */
export const PayloadExtension = z.object({
  attempt: z.int().positive(),
  /** The attempt's lease in ms. Without a successful heartbeat for this long, the executor stops the job itself. */
  leaseMs: z.int().positive(),
  heartbeatIntervalMs: z.int().positive(),
  /** Time limit of the whole job in ms, from the start of its workspace. `null`: the executor's maximum applies. */
  timeoutMs: z.int().positive().nullable(),
  resources: Resources,
  /** More precise than `shallowClone` and `fetchTags`, which are for other executors. */
  checkout: z
    .object({
      /** Number of commits, including the job's own; `null`: full history. */
      depth: z.int().positive().nullable(),
      /** `reachable`: only tags that point to a commit of the fetched history. */
      tags: z.enum(["none", "reachable"]),
    })
    .optional(),
  /** Absent: the executor's default. */
  egress: Egress.optional(),
  /** The `executorCapabilities` that this instance supports. */
  capabilities: nullableArray(z.string()),
  /**
   * How scripts handle failures.
   * - `strict`: the step ends at the first failing command; commands are not traced.
   * - `protocol`: the preamble of the base protocol, which traces commands and continues after failures.
   */
  shell: z.enum(["strict", "protocol"]).default("protocol"),
  /** Globs for files in the workspace that are uploaded after the last step. */
  outputs: nullableArray(z.string()),
  /** Whether to upload the diff between the workspace and the commit after the last step. */
  diff: z.boolean().default(false),
  /** Whether the job's steps get a connection for uploads of code indexes, with the job's token. */
  upload: z.boolean().default(false),
  /** What the job's steps find beside their sandbox: `docker`, a Docker daemon of their own. Others are refused. */
  services: nullableArray(z.string()),
  /** Limit on the total size of an attempt's artifacts as uploaded, in bytes. */
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
  /** Instances from 2022 send plain text instead of the object. */
  files: z
    .record(z.string(), z.union([PayloadFile, z.string().transform((content) => ({ content, modifiedAt: undefined }))]))
    .nullish()
    .transform((files) => files ?? {}),
  dockerSteps: nullableArray(DockerStep),
  cliSteps: nullableArray(CliStep),
  /** Secrets, and what replaces them in logs. */
  redactedValues: z
    .record(z.string(), z.string())
    .nullish()
    .transform((values) => values ?? {}),
  dockerAuthConfig: z.object({ auths: z.record(z.string(), RegistryAuth).optional() }).optional(),
  airlock: PayloadExtension.optional(),
});
/** A job as the executor reads it, from the response to a dequeue. */
export type JobPayload = z.output<typeof JobPayload>;
/** A job as the instance writes it. */
export type JobPayloadWire = z.input<typeof JobPayload>;

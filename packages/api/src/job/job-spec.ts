import {
  environmentBytes,
  formatBytes,
  leastResources,
  maximumDurationMs,
  maximumEnvironmentBytes,
  maximumVariableBytes,
  parseAllowRule,
  parseBytes,
  parseDuration,
  variableBytes,
} from "@airlock/job";
import { z } from "zod";
import { QueueName } from "../primitives/primitives.ts";
import { isStorable, PlainText, StoredText, unstorable } from "../primitives/stored-text.ts";
import { Checkout } from "./checkout.ts";

/** A data size in bytes, or text such as `512Mi` or `12G`. */
export const ByteSize = z
  .union([z.int().nonnegative(), z.string()])
  .refine(
    (size) => typeof size === "number" || parseBytes(size) !== undefined,
    "not a size: write it as 512Mi, 12G or a number of bytes",
  )
  .meta({ examples: ["512Mi", "12G"] });

/** A duration such as `90s` or `1h30m`, more than 0 and at most 365 days. */
export const Duration = z
  .string()
  .refine((text) => (parseDuration(text) ?? 0) > 0, "not a duration: write it as 90s, 30m or 1h30m")
  .refine((text) => (parseDuration(text) ?? 0) <= maximumDurationMs, "must be at most 365d")
  .meta({ examples: ["90s", "30m"] });

/** Limits of a whole job. If a member is absent, the executor's default applies. */
export const Resources = z.strictObject({
  cpus: z.number().positive().max(1024).optional().describe("Processor cores, fractions allowed."),
  memory: ByteSize.optional().describe("Memory and swap together."),
  disk: ByteSize.optional().describe("Disk space for the workspace and the files that steps write elsewhere."),
  pids: z.int().min(1).max(4_194_304).optional().describe("Maximum number of simultaneous processes and threads."),
  shm: ByteSize.optional().describe("Size of `/dev/shm`, whose content counts as memory."),
});
export type Resources = z.output<typeof Resources>;

/** Minimums for new jobs. `Resources` has none, because existing jobs may have been submitted under older rules. */
const RequestedResources = Resources.superRefine(({ cpus, memory, disk, pids, shm }, context) => {
  const refuse = (name: keyof Resources, message: string) =>
    context.addIssue({ code: "custom", path: [name], message });
  if (cpus !== undefined && cpus < leastResources.cpus) refuse("cpus", `must be at least ${leastResources.cpus}`);
  if (pids !== undefined && pids < leastResources.pids) refuse("pids", `must be at least ${leastResources.pids}`);
  const sizes = [
    ["memory", memory, leastResources.memoryBytes],
    ["disk", disk, leastResources.diskBytes],
    ["shm", shm, leastResources.shmBytes],
  ] as const;
  for (const [name, size, least] of sizes) {
    if ((sizeInBytes(size) ?? least) < least) refuse(name, `must be at least ${formatBytes(least)}`);
  }
  const [shmBytes, memoryBytes] = [sizeInBytes(shm), sizeInBytes(memory)];
  if (shmBytes !== undefined && memoryBytes !== undefined && shmBytes > memoryBytes) {
    refuse("shm", "must not be larger than resources.memory, which includes it");
  }
});

/** `undefined` for a missing or invalid size. The latter has an issue already. */
function sizeInBytes(size: string | number | undefined): number | undefined {
  return typeof size === "string" ? parseBytes(size) : size;
}

/**
 * What a job's network may reach. An allow-list permits private addresses only if the executor's administrator allows
 * it.
 */
export const Egress = z.union(
  [
    z.enum(["none", "public"]),
    z.strictObject({
      allow: z
        .array(
          z.string().superRefine((rule, context) => {
            const parsed = parseAllowRule(rule);
            if (parsed.kind === "invalid")
              context.addIssue({ code: "custom", message: `"${rule}": ${parsed.problem}` });
          }),
        )
        .min(1, "must name at least one destination")
        .max(200)
        .describe("Destinations such as `example.com:443`, `*.example.org` or `45.45.45.0/24:443`, and no others."),
    }),
  ],
  { error: 'must be "none", "public" or { allow: [NAME_OR_RANGE[:PORT], …] }' },
);
export type Egress = z.output<typeof Egress>;

const EnvName = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,255}$/, "not a valid environment variable name");
// A NUL ends a string in the kernel's argument block, so the rest would be lost. Refuse it here.
const EnvValue = z.union([z.string(), z.number(), z.boolean()]).transform(String).refine(isStorable, unstorable);

const StepEnvironment = z.record(EnvName, EnvValue).superRefine((env, context) => {
  const sizes = Object.entries(env).map(([name, value]) => [name, variableBytes(name, value)] as const);
  for (const [name, bytes] of sizes) {
    if (bytes <= maximumVariableBytes) continue;
    const message = `${bytes} bytes long including its name; the kernel allows at most ${maximumVariableBytes}. Use a file`;
    context.addIssue({ code: "custom", path: [name], message });
  }
  const all = environmentBytes(sizes.map(([, bytes]) => bytes));
  if (all > maximumEnvironmentBytes) {
    const message = `${formatBytes(all)} in total; the limit per step is ${formatBytes(maximumEnvironmentBytes)}. Use files`;
    context.addIssue({ code: "custom", message });
  }
});

/** A path inside the workspace: relative, no `..`, no NUL. */
export const WorkspacePath = z
  .string()
  .max(4096)
  .refine(
    (path) => isStorable(path) && !path.startsWith("/") && !path.split("/").includes(".."),
    "must be a relative path inside the workspace",
  );

const StepKey = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, "letters, digits, '.', '_' and '-', at most 63 characters");

/** The name of an image: a reference of the OCI distribution specification, or `host`. */
export const ImageName = z
  .string()
  .min(1, "must not be empty")
  .max(512)
  .regex(/^[a-z0-9][a-zA-Z0-9._:/@-]*$/, "not an image reference: write it as NAME[:TAG] or NAME@sha256:…");

/** The name of a secret, which is also that of its environment variable. */
export const SecretName = z
  .string()
  .regex(/^[A-Z][A-Z0-9_]{0,254}$/, "upper-case letters, digits and '_', beginning with a letter");

/** Lower-case name of a group of jobs and secrets. */
export const Namespace = z
  .string()
  .regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/, "lower-case letters, digits and '-', at most 63 characters");

/**
 * `NAME`: the variable NAME holds the value. With `file`, the variable NAME_FILE holds the path of a file with the
 * value.
 */
const StepSecret = z.union(
  [
    SecretName.transform((name) => ({ name, file: false })),
    z.strictObject({
      name: SecretName.describe("Name of the secret, and of its variable."),
      file: z
        .boolean()
        .default(false)
        .describe("Give the step a read-only file. The variable `NAME_FILE` has its path."),
    }),
  ],
  { error: "must be NAME or { name: NAME, file: true }, NAME in upper-case letters, digits and '_'" },
);
export type StepSecret = z.output<typeof StepSecret>;

export const StepSpec = z
  .strictObject({
    key: StepKey.optional().describe("Names the step in logs. Unique in the job. Default: its position from 0."),
    image: ImageName.describe("An image reference, or `host` where the executor allows it."),
    run: z
      .string()
      .min(1, "must not be empty")
      .max(1_000_000)
      .refine(isStorable, unstorable)
      .optional()
      .describe("A shell script. The step ends at the first command that fails. Give `run` or `commands`."),
    commands: z
      .array(z.string().max(1_000_000).refine(isStorable, unstorable))
      .min(1)
      .max(10_000)
      .optional()
      .describe("The same as `run`, with one element per line."),
    dir: WorkspacePath.default("").describe("Working directory, relative to the workspace."),
    env: StepEnvironment.default({}).describe("Environment variables of the step, beside those of the image."),
    secrets: z
      .array(StepSecret)
      .max(100)
      .default([])
      .describe("Secrets that only this step gets, as environment variables or as read-only files."),
  })
  .refine((step) => (step.run === undefined) !== (step.commands === undefined), "give exactly one of run and commands")
  .superRefine((step, context) => {
    const taken = new Set(Object.keys(step.env));
    for (const [index, { name, file }] of step.secrets.entries()) {
      const variable = secretVariable({ name, file });
      if (taken.has(variable)) {
        context.addIssue({ code: "custom", path: ["secrets", index], message: `${variable} is already set` });
      }
      taken.add(variable);
    }
  });
export type StepSpec = z.output<typeof StepSpec>;

/** The lines of a step's script, from either `run` or `commands`. */
export function scriptLines(step: Pick<StepSpec, "run" | "commands">): string[] {
  if (step.commands) return step.commands;
  return (step.run ?? "").replace(/\r?\n$/, "").split(/\r?\n/);
}

/** The environment variable that holds a secret, or the path of its file. */
export function secretVariable({ name, file }: StepSecret): string {
  return file ? `${name}_FILE` : name;
}

/** Services that a job can ask for. */
const jobServices = ["docker"] as const;
export type JobService = (typeof jobServices)[number];

const JobServices = z
  .union([z.enum(jobServices), z.array(z.enum(jobServices)).max(jobServices.length)], {
    error: "must be docker, or a list of services: [docker]",
  })
  .transform((services) => (Array.isArray(services) ? services : [services]));

/** The queue of jobs that name none. */
export const defaultQueueName = "default";

/** A job as people write it: the body of `POST /api/v1/jobs` and the contents of a job file. */
export const JobSpec = z.strictObject({
  queue: QueueName.default(defaultQueueName).describe("The queue from which executors take the job."),
  repository: StoredText.min(1)
    .max(1000)
    .optional()
    .describe("Name of a repository that the instance knows. Without one the workspace is empty."),
  revision: z
    .string()
    .min(1)
    .max(1000)
    .refine((text) => !text.startsWith("-") && isStorable(text), "not a revision")
    .default("HEAD")
    .describe("Branch, tag or commit. The instance resolves it when the job is submitted."),
  checkout: Checkout.optional().describe(
    "How much of the repository the workspace gets. Default: all files of the job's commit only, without tags.",
  ),
  steps: z
    .array(StepSpec)
    .min(1, "a job must have at least one step")
    .max(1000)
    .superRefine((steps, context) => {
      const seen = new Set<string>();
      for (const [index, step] of steps.entries()) {
        const key = step.key ?? String(index);
        if (seen.has(key))
          context.addIssue({ code: "custom", path: [index, "key"], message: `two steps have the name "${key}"` });
        seen.add(key);
      }
    })
    .describe("What the job runs, in order and in one workspace. The first step that fails ends the job."),
  resources: RequestedResources.default({}).describe(
    "Limits of the whole job. The executor has defaults for missing fields.",
  ),
  egress: Egress.optional().describe(
    "What the steps can reach over the network. Default: the executor's, which is `public` if it can be enforced, else `none`.",
  ),
  timeout: Duration.optional().describe("Wall time of the whole job. Default: the executor's maximum."),
  outputs: z
    .array(WorkspacePath.min(1))
    .max(1000)
    .default([])
    .describe("Globs for files in the workspace that are kept, packed as one artifact. Also when a step fails."),
  diff: z
    .boolean()
    .default(false)
    .describe("Whether the diff between the workspace and the job's commit is kept as an artifact."),
  upload: z
    .boolean()
    .default(false)
    .describe(
      "Whether steps can send code indexes of the job's commit to the instance, whatever `egress` is. They find it at `SRC_ENDPOINT` and need no token.",
    ),
  services: JobServices.default([]).describe(
    "What the steps find beside their sandbox. `docker` is a Docker daemon of their own, in the job's virtual machine.",
  ),
  labels: z
    .record(StepKey, PlainText.max(255))
    .default({})
    .describe("Labels that the executor must offer with the same value."),
  namespace: Namespace.default("default").describe(
    "The user or organization that the job belongs to. Jobs of equal priority are taken in turn from the namespaces of their queue.",
  ),
  files: z
    .record(WorkspacePath.min(1), z.string().refine(isStorable, unstorable))
    .refine((files) => Object.keys(files).length <= 1000, "at most 1000 files")
    .refine(
      (files) => Object.values(files).reduce((sum, text) => sum + text.length, 0) <= 8 * 1024 * 1024,
      "larger than 8 MiB in total",
    )
    .default({})
    .describe("Text files to write into the workspace after the checkout, by path. Together at most 8 MiB."),
  priority: z.int().min(-1000).max(1000).default(0).describe("Jobs with a higher priority come first within a queue."),
});
export type JobSpec = z.output<typeof JobSpec>;
export type JobSpecInput = z.input<typeof JobSpec>;

/** `POST /api/v1/jobs`. Without a namespace, a user's job belongs to the namespace of the user's own name. */
export const SubmitJobRequest = JobSpec.extend({ namespace: Namespace.optional() });

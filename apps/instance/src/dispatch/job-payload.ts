import { createHash } from "node:crypto";
import { executorCapabilities, type JobPayloadWire, type JobSpec, scriptLines } from "@airlock/api";
import { parseDuration } from "@airlock/job";
import type { DequeuedJob } from "../queues/dequeue-job.ts";
import type { JobSecrets } from "./job-secrets.ts";

export interface PayloadOptions {
  /** 1 for executors before 4.3, which know neither a version nor Docker credentials. */
  readonly version: 1 | 2;
  /** For executors of 2022: a file is its text, in place of an object. */
  readonly plainFiles?: boolean;
  /** The multi-queue route names the queue that the job came from. */
  readonly withQueue: boolean;
  /** For executors that speak Airlock's extensions. */
  readonly withExtension: boolean;
  readonly maxArtifactBytes: number;
}

/** What an executor is told to do. */
export function jobPayload(job: DequeuedJob, secrets: JobSecrets, options: PayloadOptions): JobPayloadWire {
  const { spec } = job;
  const dockerAuthConfig = secrets.registryAuth ? { auths: secrets.registryAuth } : {};
  return {
    ...(options.version === 2 ? { version: 2, dockerAuthConfig } : {}),
    id: job.id,
    token: job.token,
    ...(options.withQueue ? { queue: job.queue } : {}),
    repositoryName: job.repository ?? "",
    repositoryDirectory: "",
    commit: job.commit ?? "",
    fetchTags: false,
    shallowClone: true,
    sparseCheckout: null,
    files: payloadFiles(job.id, spec, options),
    dockerSteps: spec.steps.map((step, index) => ({
      key: step.key ?? String(index),
      image: step.image,
      commands: scriptLines(step),
      dir: step.dir,
      env: [...Object.entries(step.env).map(([name, value]) => `${name}=${value}`), ...(secrets.env.get(index) ?? [])],
    })),
    cliSteps: null,
    redactedValues: secrets.redactedValues,
    ...(options.withExtension ? { airlock: { ...extension(job, spec, options), ...secretFiles(secrets) } } : {}),
  };
}

function extension(job: DequeuedJob, spec: JobSpec, options: PayloadOptions): NonNullable<JobPayloadWire["airlock"]> {
  return {
    attempt: job.attempt,
    leaseMs: job.leaseMs,
    heartbeatIntervalMs: Math.min(job.heartbeatIntervalMs, Math.floor(job.leaseMs / 3)),
    timeoutMs: spec.timeout === undefined ? null : (parseDuration(spec.timeout) ?? null),
    resources: spec.resources,
    ...(spec.egress === undefined ? {} : { egress: spec.egress }),
    capabilities: [...executorCapabilities],
    shell: "strict",
    outputs: spec.outputs,
    diff: spec.diff ?? false,
    maxArtifactBytes: options.maxArtifactBytes,
  };
}

/** Most jobs have none: their payload stays as it was. */
function secretFiles({ files }: JobSecrets): Pick<NonNullable<JobPayloadWire["airlock"]>, "secretFiles"> {
  return files.length > 0 ? { secretFiles: [...files] } : {};
}

/** A longer file is fetched from the files route. Version 1 knows plain text only. */
const maxInlineFile = 64 * 1024;

function payloadFiles(
  id: number,
  spec: JobSpec,
  { version, plainFiles }: PayloadOptions,
): NonNullable<JobPayloadWire["files"]> {
  const payloadFile = (path: string, text: string) => {
    if (plainFiles) return text;
    if (version === 1) return { content: text };
    if (text.length > maxInlineFile) return { bucket: "batch-changes", key: `${id}/${payloadFileId(path)}` };
    return { content: Buffer.from(text).toString("base64") };
  };
  // Absent in jobs from before this field.
  return Object.fromEntries(Object.entries(spec.files ?? {}).map(([path, text]) => [path, payloadFile(path, text)]));
}

/** How the files route names a file of a job, whatever its path holds. */
export function payloadFileId(path: string): string {
  return createHash("sha256").update(path).digest("hex");
}

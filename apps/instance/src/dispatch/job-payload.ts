import { createHash } from "node:crypto";
import {
  type Checkout,
  defaultCheckout,
  executorCapabilities,
  type JobPayloadWire,
  type JobSpec,
  scriptLines,
  sparsePatterns,
} from "@airlock/api";
import { parseDuration } from "@airlock/job";
import type { DequeuedJob } from "../queues/dequeue-job.ts";
import { parseShellLine } from "../queues/shell-line.ts";
import type { JobSecrets } from "./job-secrets.ts";

export interface PayloadOptions {
  /** 1 for executors before 4.3. It has neither a version nor Docker credentials. */
  readonly version: 1 | 2;
  /** For executors from 2022: a file is its text instead of an object. */
  readonly plainFiles?: boolean;
  /** The multi-queue route names the job's queue. */
  readonly withQueue: boolean;
  /** For executors that speak Airlock's extensions. */
  readonly withExtension: boolean;
  readonly maxArtifactBytes: number;
}

/** Builds the payload that tells an executor what to run. */
export function jobPayload(job: DequeuedJob, secrets: JobSecrets, options: PayloadOptions): JobPayloadWire {
  const { spec } = job;
  const checkout = spec.checkout ?? defaultCheckout;
  const dockerAuthConfig = secrets.registryAuth ? { auths: secrets.registryAuth } : {};
  return {
    ...(options.version === 2 ? { version: 2, dockerAuthConfig } : {}),
    id: job.id,
    token: job.token,
    ...(options.withQueue ? { queue: job.queue } : {}),
    repositoryName: job.repository ?? "",
    repositoryDirectory: "",
    commit: job.commit ?? "",
    fetchTags: checkout.tags,
    // The protocol can ask for one commit or for all. An executor without our extension may fetch more than the job
    // needs.
    shallowClone: checkout.depth === 1,
    sparseCheckout: checkout.paths.length > 0 ? sparsePatterns(checkout.paths) : null,
    files: payloadFiles(job.id, spec, options),
    dockerSteps: spec.steps.map((step, index) => ({
      key: step.key ?? String(index),
      image: step.image,
      commands: options.withExtension ? scriptLines(step) : strictLines(step),
      dir: step.dir,
      env: [...Object.entries(step.env).map(([name, value]) => `${name}=${value}`), ...(secrets.env.get(index) ?? [])],
    })),
    cliSteps: null,
    redactedValues: secrets.redactedValues,
    ...(options.withExtension ? { airlock: { ...extension(job, spec, options), ...secretFiles(secrets) } } : {}),
  };
}

/**
 * The script for an executor without our extension. Its preamble turns `set -e` off, and a first line `#!…` is a
 * comment to it. Executors from 2022 run all scripts with `sh`.
 */
function strictLines(step: JobSpec["steps"][number]): string[] {
  const lines = scriptLines(step);
  const first = parseShellLine(lines[0] ?? "");
  const isBash = first.kind === "shell" && first.isBash;
  const options = first.kind === "shell" && first.options !== "" ? [`set ${first.options}`] : [];
  return [...(isBash ? [`[ -n "\${BASH_VERSION-}" ] || exec bash "$0"`] : []), "set -e", ...options, ...lines];
}

function extension(job: DequeuedJob, spec: JobSpec, options: PayloadOptions): NonNullable<JobPayloadWire["airlock"]> {
  return {
    attempt: job.attempt,
    leaseMs: job.leaseMs,
    heartbeatIntervalMs: Math.min(job.heartbeatIntervalMs, Math.floor(job.leaseMs / 3)),
    timeoutMs: spec.timeout === undefined ? null : (parseDuration(spec.timeout) ?? null),
    resources: spec.resources,
    ...(spec.checkout === undefined ? {} : { checkout: checkoutExtension(spec.checkout) }),
    ...(spec.egress === undefined ? {} : { egress: spec.egress }),
    capabilities: [...executorCapabilities],
    shell: "strict",
    outputs: spec.outputs,
    diff: spec.diff ?? false,
    ...(spec.upload ? { upload: true } : {}),
    ...((spec.services ?? []).length > 0 ? { services: spec.services } : {}),
    maxArtifactBytes: options.maxArtifactBytes,
  };
}

function checkoutExtension({ depth, tags }: Checkout): NonNullable<NonNullable<JobPayloadWire["airlock"]>["checkout"]> {
  return { depth: depth === "full" ? null : depth, tags: tags ? "reachable" : "none" };
}

/** Jobs without secret files get the same payload as before this member existed. */
function secretFiles({ files }: JobSecrets): Pick<NonNullable<JobPayloadWire["airlock"]>, "secretFiles"> {
  return files.length > 0 ? { secretFiles: [...files] } : {};
}

/** Executors fetch a longer file from the files route. Version 1 of the payload has only plain text. */
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
  // Jobs stored before this field existed have no `files`.
  return Object.fromEntries(Object.entries(spec.files ?? {}).map(([path, text]) => [path, payloadFile(path, text)]));
}

/** Id of a job's file in the files route. Hashed, because the path may contain any character. */
export function payloadFileId(path: string): string {
  return createHash("sha256").update(path).digest("hex");
}

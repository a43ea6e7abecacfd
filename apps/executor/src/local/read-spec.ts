import { randomBytes } from "node:crypto";
import { defaultCheckout, type JobSpec, type LocalRunRequest, scriptLines, sparsePatterns } from "@airlock/api";
import { AirlockError, parseDuration } from "@airlock/job";
import type { JobInput } from "../job/read-payload.ts";

/** A job as its submitter wrote it, in the executor's own terms. Pure, except for the job's random name. */
export function readSpec({ spec, source, secrets, artifacts }: LocalRunRequest): JobInput {
  return {
    name: `local-${randomBytes(6).toString("hex")}`,
    steps: spec.steps.map((step, index) => ({
      name: step.key ?? String(index),
      image: step.image,
      commands: scriptLines(step),
      directory: step.dir,
      env: {
        ...step.env,
        ...Object.fromEntries(
          step.secrets.filter(({ file }) => !file).map(({ name }) => [name, secretValue(secrets, name)]),
        ),
      },
      secretFiles: step.secrets
        .filter(({ file }) => file)
        .map(({ name }) => ({ step: index, name, value: secretValue(secrets, name) })),
    })),
    hasSrcSteps: false,
    checkout: source === null ? null : checkoutOf(spec, source.commit),
    files: Object.entries(spec.files).map(([path, text]) => ({
      path,
      modifiedAt: undefined,
      content: { kind: "inline", text, encoding: "utf8" },
    })),
    shell: "strict",
    timeoutMs: spec.timeout === undefined ? null : (parseDuration(spec.timeout) ?? null),
    resources: spec.resources,
    egress: spec.egress,
    registryAuth: {},
    redactions: Object.fromEntries(
      Object.entries(secrets)
        .filter(([, value]) => value !== "")
        .map(([name, value]) => [value, `[${name}]`]),
    ),
    results:
      artifacts === null ? null : { outputs: spec.outputs, diff: spec.diff, maximumBytes: Number.POSITIVE_INFINITY },
    reportsUsage: false,
    logDelivery: "chunks",
    upload: false,
    services: spec.services,
    stepsMaySkip: false,
  };
}

function checkoutOf({ checkout }: JobSpec, commit: string): NonNullable<JobInput["checkout"]> {
  const { depth, tags, paths } = checkout ?? defaultCheckout;
  return {
    repository: "local",
    commit,
    directory: "",
    depth: depth === "full" ? null : depth,
    tags: tags ? "reachable" : "none",
    sparse: sparsePatterns(paths),
  };
}

function secretValue(secrets: Readonly<Record<string, string>>, name: string): string {
  const value = secrets[name];
  if (value !== undefined) return value;
  throw new AirlockError(`the secret ${name} has no value`, { code: "payload-invalid" });
}

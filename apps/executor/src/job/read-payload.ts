import type { Egress, JobPayload, Resources, SecretFile } from "@airlock/api";
import type { RegistryCredentials } from "@airlock/runtime";
import { registryCredentials } from "../config/values/parse-registry-auth.ts";
import type { WantedResults } from "../results/keep-results.ts";
import type { CheckoutInput } from "../workspace/checkout/checkout-request.ts";

/**
 * A job as its payload describes it, in the executor's own terms. Nothing has been checked against the administrator's
 * limits. Names and paths come from the submitter, and `planJob` checks them.
 */
export interface JobInput {
  /** `[a-z0-9-]`, unique per attempt within an instance. */
  readonly name: string;
  readonly steps: readonly StepInput[];
  /** Whether the job also has steps for the `src` command. */
  readonly hasSrcSteps: boolean;
  readonly checkout: CheckoutInput | null;
  readonly files: readonly FileInput[];
  readonly shell: "strict" | "protocol";
  /** `null`: the executor's maximum. */
  readonly timeoutMs: number | null;
  readonly resources: Resources;
  /** `undefined`: the executor's default. */
  readonly egress: Egress | undefined;
  /** By registry host. */
  readonly registryAuth: Readonly<Record<string, RegistryCredentials>>;
  /** Secret → its replacement in logs. Includes the job's own credentials. */
  readonly redactions: Readonly<Record<string, string>>;
  /** `null`: the instance accepts no results. */
  readonly results: WantedResults | null;
  /** Whether the instance takes reports of what steps use. */
  readonly reportsUsage: boolean;
  /** `chunks`: the instance accepts output in pieces. `whole-entries`: every update resends an entry. */
  readonly logDelivery: "chunks" | "whole-entries";
  /** Whether the steps get a connection for uploads of code indexes. */
  readonly upload: boolean;
  /** Names of services that the steps need. */
  readonly services: readonly string[];
  /**
   * Whether a step may name the next step in the workspace's `skip.json`. Airlock instances decide themselves which
   * steps run.
   */
  readonly stepsMaySkip: boolean;
}

interface StepInput {
  /** Name in messages and log keys: the step's own key, else its position. */
  readonly name: string;
  readonly image: string;
  /** Lines of the script. */
  readonly commands: readonly string[];
  /** Relative to the workspace. */
  readonly directory: string;
  readonly env: Readonly<Record<string, string>>;
  /** Secrets that only this step finds as files. */
  readonly secretFiles: readonly SecretFile[];
}

/** A file for the workspace. */
export interface FileInput {
  /** Relative to the workspace. */
  readonly path: string;
  readonly modifiedAt: Date | undefined;
  readonly content:
    | { readonly kind: "inline"; readonly text: string; readonly encoding: "base64" | "utf8" }
    /** Only the instance has the content. */
    | { readonly kind: "stored"; readonly bucket: string; readonly key: string };
}

/** Parses a payload. The rest of the executor's job code knows only the result. Pure. */
export function readPayload(payload: JobPayload): JobInput {
  const { airlock } = payload;
  const registryAuth = registryCredentials(payload.dockerAuthConfig?.auths ?? {});
  return {
    name: `job-${payload.id}-${airlock?.attempt ?? 1}`,
    steps: payload.dockerSteps.map((step, index) => ({
      name: step.key ?? String(index),
      image: step.image,
      commands: step.commands,
      directory: step.dir,
      env: readEnvironment(step.env),
      secretFiles: (airlock?.secretFiles ?? []).filter((file) => file.step === index),
    })),
    hasSrcSteps: payload.cliSteps.length > 0,
    checkout: readCheckout(payload),
    files: Object.entries(payload.files).map(([path, file]) => readFile(path, file, payload.version)),
    shell: airlock?.shell ?? "protocol",
    timeoutMs: airlock?.timeoutMs ?? null,
    resources: airlock?.resources ?? {},
    egress: airlock?.egress,
    registryAuth,
    redactions: readRedactions(payload, registryAuth),
    results: readResults(payload),
    reportsUsage: airlock?.capabilities.includes("usage") ?? false,
    logDelivery: takesChunks(airlock?.capabilities ?? []) ? "chunks" : "whole-entries",
    upload: airlock?.upload ?? false,
    services: airlock?.services ?? [],
    stepsMaySkip: airlock === undefined,
  };
}

function takesChunks(capabilities: readonly string[]): boolean {
  return capabilities.includes("log-batch") && capabilities.includes("log-notes");
}

function readEnvironment(pairs: readonly string[]): Record<string, string> {
  // Docker's command line replaces a name without a value by the host's value. No job may see the host's environment.
  return Object.fromEntries(
    pairs.flatMap((pair) => {
      const equals = pair.indexOf("=");
      return equals > 0 ? [[pair.slice(0, equals), pair.slice(equals + 1)]] : [];
    }),
  );
}

function readCheckout(payload: JobPayload): CheckoutInput | null {
  if (payload.repositoryName === "") return null;
  return {
    repository: payload.repositoryName,
    commit: payload.commit,
    directory: payload.repositoryDirectory,
    ...readHistory(payload),
    sparse: payload.sparseCheckout,
  };
}

/** The fields of other instances know only one commit or all, and no tags or all. */
function readHistory({ airlock, shallowClone, fetchTags }: JobPayload): Pick<CheckoutInput, "depth" | "tags"> {
  return airlock?.checkout ?? { depth: shallowClone ? 1 : null, tags: fetchTags ? "all" : "none" };
}

function readFile(path: string, file: JobPayload["files"][string], version: number | undefined): FileInput {
  const { content = "", bucket, key, modifiedAt } = { bucket: undefined, key: undefined, ...file };
  if (bucket && key) return { path, modifiedAt, content: { kind: "stored", bucket, key } };
  // Payloads of version 1 carry plain text.
  return { path, modifiedAt, content: { kind: "inline", text: content, encoding: version === 2 ? "base64" : "utf8" } };
}

function readRedactions(payload: JobPayload, registryAuth: JobInput["registryAuth"]): Record<string, string> {
  const passwords = Object.values(registryAuth).flatMap(({ password, identityToken = "", registryToken = "" }) => [
    password,
    identityToken,
    registryToken,
  ]);
  const own = [payload.token, ...passwords].filter((secret) => secret !== "");
  return { ...payload.redactedValues, ...Object.fromEntries(own.map((secret) => [secret, removedSecret])) };
}

/** Replaces a secret in logs when the instance gave no replacement for it. */
export const removedSecret = "SECRET_REMOVED";

function readResults({ airlock }: JobPayload): WantedResults | null {
  if (!airlock?.capabilities.includes("results")) return null;
  const { outputs, diff, maxArtifactBytes } = airlock;
  return { outputs, diff, maximumBytes: maxArtifactBytes ?? Number.POSITIVE_INFINITY };
}

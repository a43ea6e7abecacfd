import { posix } from "node:path";
import type { JobPayload, SecretFile } from "@airlock/api";
import { AirlockError, formatBytes, parseBytes } from "@airlock/job";
import type { SandboxLimits } from "@airlock/runtime";
import type { JobOptions } from "../config/options.ts";
import type { DequeuedJob } from "../instance-client/dequeued-job.ts";
import { type EgressEnforcement, type PlannedEgress, planEgress } from "./egress-plan.ts";

/** A step as the executor runs it. */
export interface PlannedStep {
  /** As people and log keys name it: the step's own key, else its position. */
  readonly name: string;
  /** Unique in the job and safe in names. */
  readonly key: string;
  readonly image: string;
  readonly commands: readonly string[];
  readonly workingDirectory: string;
  readonly env: Readonly<Record<string, string>>;
  /** Secrets that this step alone finds as files. */
  readonly secretFiles: readonly SecretFile[];
}

/** What the executor makes of a payload: checked against what its administrator allows. */
export interface JobPlan {
  readonly timeoutMs: number;
  readonly limits: SandboxLimits;
  readonly egress: PlannedEgress;
  readonly shell: "strict" | "protocol";
  readonly steps: readonly PlannedStep[];
}

/** @throws {AirlockError} reason `policy` for what is not allowed here, `checkout-invalid` for a path that leaves the workspace. */
export function planJob({ payload }: DequeuedJob, options: JobOptions, enforcement: EgressEnforcement): JobPlan {
  if (payload.cliSteps.length > 0) {
    throw refused(
      "the job has steps for the src command, which this executor does not run",
      "Let the instance make jobs of container steps only (native execution), or use an executor with src.",
    );
  }
  const extension = payload.airlock;
  return {
    timeoutMs: Math.min(extension?.timeoutMs ?? Number.POSITIVE_INFINITY, options.maximumRuntimeMs),
    limits: limitsOf(payload, options),
    egress: planEgress(extension?.egress, options.egress, enforcement),
    shell: extension?.shell ?? "protocol",
    steps: payload.dockerSteps.map((step, index) => {
      const name = step.key ?? String(index);
      return {
        name,
        key: `${index}-${name.replace(/[^A-Za-z0-9._-]/g, "-").slice(0, 40)}`,
        image: step.image,
        commands: step.commands,
        workingDirectory: workingDirectory(name, step.dir),
        env: { ...gitEnvironment(payload), ...environmentOf(step.env) },
        secretFiles: (extension?.secretFiles ?? []).filter((file) => file.step === index),
      };
    }),
  };
}

function limitsOf(payload: JobPayload, options: JobOptions): SandboxLimits {
  const { cpus, memory, pids, disk } = payload.airlock?.resources ?? {};
  const { maximumCpus, machineCpus, maximumMemoryBytes, maximumPids, maximumDiskBytes } = options;
  const memoryBytes = sizeOf(memory) ?? maximumMemoryBytes;
  const diskBytes = sizeOf(disk) ?? maximumDiskBytes;
  if (cpus !== undefined && cpus > maximumCpus) {
    throw refused(
      `the job asks for ${cpus} cores, this executor gives at most ${maximumCpus}`,
      "See EXECUTOR_JOB_NUM_CPUS.",
    );
  }
  if (memoryBytes > maximumMemoryBytes) {
    const text = `the job asks for ${formatBytes(memoryBytes)} of memory, this executor gives at most ${formatBytes(maximumMemoryBytes)}`;
    throw refused(text, "See EXECUTOR_JOB_MEMORY.");
  }
  if (pids !== undefined && pids > maximumPids) {
    throw refused(
      `the job asks for ${pids} processes, this executor gives at most ${maximumPids}`,
      "See EXECUTOR_MAXIMUM_PIDS_PER_JOB.",
    );
  }
  if (maximumDiskBytes !== null && diskBytes !== null && diskBytes > maximumDiskBytes) {
    const text = `the job asks for ${formatBytes(diskBytes)} of disk, this executor gives at most ${formatBytes(maximumDiskBytes)}`;
    throw refused(text, "See EXECUTOR_JOB_DISK.");
  }
  return {
    // More than the machine has is no limit, and engines refuse it.
    cpus: Math.min(cpus ?? maximumCpus, machineCpus),
    memoryBytes,
    pids: pids ?? maximumPids,
    ...(diskBytes === null ? {} : { diskBytes }),
  };
}

function sizeOf(size: string | number | undefined): number | undefined {
  return typeof size === "string" ? parseBytes(size) : size;
}

function workingDirectory(name: string, dir: string): string {
  const path = posix.join("/data", dir);
  if (dir.startsWith("/") || dir.includes("\0") || (path !== "/data" && !path.startsWith("/data/"))) {
    throw new AirlockError(`the directory "${dir}" of step "${name}" is outside the workspace`, {
      code: "checkout-invalid",
      reason: "checkout-invalid",
    });
  }
  return path;
}

function environmentOf(pairs: readonly string[]): Record<string, string> {
  // A name without a value asks Docker's CLI for the host's own: nothing of the host's environment goes into a job.
  return Object.fromEntries(
    pairs.flatMap((pair) => {
      const equals = pair.indexOf("=");
      return equals > 0 ? [[pair.slice(0, equals), pair.slice(equals + 1)]] : [];
    }),
  );
}

/** Lets git work in a checkout whose files belong to another user than the step runs as. */
function gitEnvironment(payload: JobPayload): Record<string, string> {
  if (payload.repositoryName === "") return {};
  const directory = posix.join("/data", payload.repositoryDirectory);
  return { GIT_CONFIG_COUNT: "1", GIT_CONFIG_KEY_0: "safe.directory", GIT_CONFIG_VALUE_0: directory };
}

function refused(what: string, hint: string): AirlockError {
  return new AirlockError(what, { code: "policy", reason: "policy", hint });
}

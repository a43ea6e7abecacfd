import { posix } from "node:path";
import type { Resources, SecretFile } from "@airlock/api";
import { AirlockError, formatBytes, formatDuration, parseBytes } from "@airlock/job";
import type { DockerDaemonSettings, SandboxLimits } from "@airlock/runtime";
import type { JobOptions } from "../config/options.ts";
import { uploadPort } from "../uploads/upload-proxy.ts";
import { type CheckoutRequest, checkoutRequest } from "../workspace/checkout/checkout-request.ts";
import { dockerDaemonSettings } from "./docker-daemon-settings.ts";
import { type EgressEnforcement, type PlannedEgress, planEgress } from "./egress-plan.ts";
import type { JobInput } from "./read-payload.ts";
import { stepProxyEnvironment } from "./step-proxy.ts";

/** A step, ready to run. */
export interface PlannedStep {
  /** Name in messages and log keys: the step's own key, else its position. */
  readonly name: string;
  /** Unique within the job, and safe to use in file names. */
  readonly key: string;
  readonly image: string;
  readonly commands: readonly string[];
  readonly workingDirectory: string;
  readonly env: Readonly<Record<string, string>>;
  /** Secrets that only this step finds as files. */
  readonly secretFiles: readonly SecretFile[];
}

/** Time limit of the whole job. */
export interface PlannedTimeout {
  readonly ms: number;
  /** A line for the job's log when the executor's maximum shortens the time that the job asks for. */
  readonly note: string | null;
}

/** What the executor will run: the job's wishes, checked against the administrator's limits. */
export interface JobPlan {
  readonly timeout: PlannedTimeout;
  readonly limits: SandboxLimits;
  readonly egress: PlannedEgress;
  /** `null`: the job has no repository. */
  readonly checkout: CheckoutRequest | null;
  readonly shell: "strict" | "protocol";
  /** Whether the steps get a connection for uploads of code indexes. */
  readonly upload: boolean;
  /** The Docker daemon that the steps get; `null`: none. */
  readonly docker: DockerDaemonSettings | null;
  readonly steps: readonly PlannedStep[];
}

/**
 * Plans a job.
 * @throws {AirlockError} reason `policy` for what the administrator does not allow, `checkout-invalid` for an invalid
 * repository, commit or path.
 */
export function planJob(input: JobInput, options: JobOptions, enforcement: EgressEnforcement): JobPlan {
  if (input.hasSrcSteps) {
    throw refused(
      "the job has src steps, which this executor does not support",
      "Turn on native execution in the instance, so that jobs have container steps only, or use an executor with src.",
    );
  }
  const checkout = input.checkout && checkoutRequest(input.checkout);
  const egress = planEgress(input.egress, options.egress, enforcement);
  const proxyEnvironment = stepProxyEnvironment(options.stepProxy, egress.policy);
  const { servicesProblem } = enforcement;
  if (input.upload && servicesProblem !== undefined)
    throw refused("this executor can't give jobs a connection for uploads", servicesProblem);
  const docker = plansDocker(input.services, enforcement.dockerProblem)
    ? dockerDaemonSettings({ registryMirrors: options.registryMirrors, proxyEnvironment, policy: egress.policy })
    : null;
  const uploadEnvironment = input.upload ? { SRC_ENDPOINT: `http://127.0.0.1:${uploadPort}` } : {};
  return {
    timeout: planTimeout(input.timeoutMs, options.maximumRuntimeMs),
    limits: limitsOf(input.resources, options),
    egress,
    checkout,
    shell: input.shell,
    upload: input.upload,
    docker,
    steps: input.steps.map(({ name, image, commands, directory, env, secretFiles }, index) => ({
      name,
      key: `${index}-${name.replace(/[^A-Za-z0-9._-]/g, "-").slice(0, 40)}`,
      image,
      commands,
      workingDirectory: workingDirectory(name, directory),
      env: { ...uploadEnvironment, ...proxyEnvironment, ...gitEnvironment(checkout), ...env },
      secretFiles,
    })),
  };
}

function plansDocker(services: readonly string[], problem: string | null): boolean {
  const unknown = services.find((name) => name !== "docker");
  if (unknown !== undefined) {
    const hint = "Remove it from the job's `services`, or update the executor.";
    throw refused(`this executor does not know the service ${JSON.stringify(unknown)}`, hint);
  }
  if (services.length > 0 && problem !== null) throw refused("this executor can't offer `services: docker`", problem);
  return services.length > 0;
}

/** What jobs get that ask for nothing. A job that this machine refuses for its network has none. */
export function planUsualJob(options: JobOptions, enforcement: EgressEnforcement) {
  const { enforces } = enforcement;
  const asked = options.egress.default ?? "public";
  const kind = asked === "public" && enforces.egressPublic ? "public" : "none";
  return { limits: limitsOf({}, options), egress: { kind } } as const;
}

function planTimeout(wantedMs: number | null, maximumMs: number): PlannedTimeout {
  if (wantedMs === null || wantedMs <= maximumMs) return { ms: wantedMs ?? maximumMs, note: null };
  const longest = formatDuration(maximumMs);
  const asked = formatDuration(wantedMs);
  return {
    ms: maximumMs,
    note: `timeout: ${longest}, the maximum of this executor; the job asks for ${asked}`,
  };
}

/** @throws {AirlockError} reason `policy` for more than the administrator allows. */
export function limitsOf({ cpus, memory, pids, disk, shm }: Resources, options: JobOptions): SandboxLimits {
  const { maximumCpus, machineCpus, maximumMemoryBytes, maximumPids, maximumDiskBytes } = options;
  const memoryBytes = sizeOf(memory) ?? maximumMemoryBytes;
  const diskBytes = sizeOf(disk) ?? maximumDiskBytes;
  if (cpus !== undefined && cpus > maximumCpus) {
    throw refused(
      `the job asks for ${cpus} cores, but this executor allows at most ${maximumCpus}`,
      "See EXECUTOR_JOB_NUM_CPUS.",
    );
  }
  if (memoryBytes > maximumMemoryBytes) {
    const text = `the job asks for ${formatBytes(memoryBytes)} of memory, but this executor allows at most ${formatBytes(maximumMemoryBytes)}`;
    throw refused(text, "See EXECUTOR_JOB_MEMORY.");
  }
  if (pids !== undefined && pids > maximumPids) {
    throw refused(
      `the job asks for ${pids} processes, but this executor allows at most ${maximumPids}`,
      "See EXECUTOR_MAXIMUM_PIDS_PER_JOB.",
    );
  }
  if (maximumDiskBytes !== null && diskBytes !== null && diskBytes > maximumDiskBytes) {
    const text = `the job asks for ${formatBytes(diskBytes)} of disk, but this executor allows at most ${formatBytes(maximumDiskBytes)}`;
    throw refused(text, "See EXECUTOR_JOB_DISK.");
  }
  const shmBytes = sizeOf(shm);
  if (shmBytes !== undefined && shmBytes > memoryBytes) {
    const text = `the job asks for ${formatBytes(shmBytes)} of shared memory, but its memory limit is ${formatBytes(memoryBytes)}`;
    throw refused(text, "Ask for more memory (resources.memory) or less shared memory (resources.shm).");
  }
  return {
    // Engines reject more CPUs than the machine has.
    cpus: Math.min(cpus ?? maximumCpus, machineCpus),
    memoryBytes,
    pids: pids ?? maximumPids,
    shmBytes: Math.min(shmBytes ?? options.defaultShmBytes, memoryBytes),
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

/** Lets git work in a checkout whose files have another owner than the step's user. */
function gitEnvironment(checkout: CheckoutRequest | null): Record<string, string> {
  if (checkout === null) return {};
  const directory = posix.join("/data", checkout.directory);
  return { GIT_CONFIG_COUNT: "1", GIT_CONFIG_KEY_0: "safe.directory", GIT_CONFIG_VALUE_0: directory };
}

function refused(what: string, hint: string): AirlockError {
  return new AirlockError(what, { code: "policy", reason: "policy", hint });
}

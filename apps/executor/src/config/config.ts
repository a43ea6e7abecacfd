import { availableParallelism, homedir, totalmem } from "node:os";
import { join, resolve } from "node:path";
import { AirlockError } from "@airlock/job";
import { type Proxies, parseProxies } from "@airlock/proxy";
import { defaultHardening, maximumVmCpus } from "@airlock/runtime";
import type { z } from "zod";
import { Environment } from "./environment.ts";
import { kubernetesOptions, kubernetesProblems, prefersKubernetes, volumeProblems } from "./kubernetes-config.ts";
import type { Config } from "./options.ts";
import { judgeOtherVariables } from "./other-variables.ts";
import { notesOnRuntime } from "./runtime-notes.ts";

const hostGatewayName = "host.docker.internal";

/** Names from when only virtual machines had these limits. */
const olderNames: ReadonlyMap<string, string> = new Map([
  ["EXECUTOR_FIRECRACKER_NUM_CPUS", "EXECUTOR_JOB_NUM_CPUS"],
  ["EXECUTOR_FIRECRACKER_MEMORY", "EXECUTOR_JOB_MEMORY"],
]);

/** Stands for an instance in commands that talk to none. No host has this name (RFC 2606). */
const noInstance = { EXECUTOR_FRONTEND_URL: "http://none.invalid", EXECUTOR_FRONTEND_PASSWORD: "none" } as const;

/**
 * The only reader of the environment. Finds all problems before it reports them.
 * @param options.needsInstance Whether the instance and its queues must be named. Default: true.
 * @throws {AirlockError} code `invalid-configuration`: one line per problem, with the variable and how to fix it.
 */
export function parseConfig(
  environment: Readonly<Record<string, string | undefined>>,
  { needsInstance = true }: { readonly needsInstance?: boolean } = {},
): Config {
  // Templates leave a variable empty when no value was given, so an empty variable counts as not set.
  const given = Object.fromEntries(
    Object.entries(environment).filter(([, value]) => value !== undefined && value !== ""),
  );
  if (!needsInstance) Object.assign(given, { ...noInstance, ...given });
  const olderNameOf = new Map<string, string>();
  for (const [old, name] of olderNames) {
    if (given[old] === undefined || given[name] !== undefined) continue;
    given[name] = given[old];
    olderNameOf.set(name, old);
  }
  const nameAsGiven = (name: string) => olderNameOf.get(name) ?? name;
  const others = judgeOtherVariables(Object.keys(given), [...Object.keys(Environment.shape), ...olderNames.keys()]);
  const kind = kindOf(given);
  const parsed = Environment.safeParse(given);
  const problems = parsed.success
    ? []
    : parsed.error.issues.map((issue) => `${nameAsGiven(String(issue.path[0]))} ${issue.message}`);
  const { proxies, problems: proxyProblems } = parseProxies(given);
  if (kind === "kubernetes") problems.push(...kubernetesProblems(given));
  if (parsed.success) problems.push(...volumeProblems(parsed.data));
  problems.push(
    ...(needsInstance ? queueProblems(given) : []),
    ...problemsBetween(given, nameAsGiven),
    ...others.problems,
    ...proxyProblems,
  );
  if (!parsed.success || problems.length > 0) {
    throw new AirlockError(`invalid configuration:\n${problems.map((line) => `  - ${line}`).join("\n")}`, {
      code: "invalid-configuration",
      hint: "Correct these environment variables and start the executor again.",
    });
  }
  const config = split(parsed.data, proxies, given);
  return { ...config, notes: [...others.notes, ...notesOnRuntime(config.runtime.kind, given)] };
}

function queueProblems({
  EXECUTOR_QUEUE_NAME: one,
  EXECUTOR_QUEUE_NAMES: several,
}: Readonly<Record<string, string | undefined>>): string[] {
  const problems: string[] = [];
  if (one === undefined && several === undefined) {
    problems.push(
      "EXECUTOR_QUEUE_NAME is not set: name the queue to take jobs from, or several in EXECUTOR_QUEUE_NAMES",
    );
  }
  if (one !== undefined && several !== undefined) {
    problems.push("EXECUTOR_QUEUE_NAME and EXECUTOR_QUEUE_NAMES are both set: keep one of them");
  }
  return problems;
}

function problemsBetween(
  given: Readonly<Record<string, string | undefined>>,
  nameAsGiven: (name: string) => string,
): string[] {
  const problems: string[] = [];
  const { EXECUTOR_FRONTEND_URL: url } = given;
  if (isTrue(given.EXECUTOR_STEP_CA_CERTIFICATES) && !given.NODE_EXTRA_CA_CERTS) {
    problems.push("EXECUTOR_STEP_CA_CERTIFICATES is set, but NODE_EXTRA_CA_CERTS names no certificate authorities");
  }
  if (given.EXECUTOR_STEP_NO_PROXY && !given.EXECUTOR_STEP_PROXY) {
    problems.push("EXECUTOR_STEP_NO_PROXY is set, and EXECUTOR_STEP_PROXY names no proxy");
  }
  const { EXECUTOR_RUNTIME: runtime } = given;
  if (isTrue(given.EXECUTOR_USE_KUBERNETES) && isTrue(given.EXECUTOR_USE_FIRECRACKER)) {
    problems.push("EXECUTOR_USE_KUBERNETES and EXECUTOR_USE_FIRECRACKER are both set: unset one of them");
  }
  if (isTrue(given.EXECUTOR_USE_KUBERNETES) && runtime !== undefined && !/^(?:auto|kubernetes)$/.test(runtime)) {
    problems.push(`EXECUTOR_USE_KUBERNETES asks for pods, and EXECUTOR_RUNTIME for ${runtime}: unset one of them`);
  }
  if (
    isTrue(given.EXECUTOR_USE_FIRECRACKER) &&
    (runtime === "docker" || runtime === "oci" || runtime === "kubernetes")
  ) {
    problems.push(
      `EXECUTOR_USE_FIRECRACKER asks for virtual machines, and EXECUTOR_RUNTIME for ${runtime}: unset one of them`,
    );
  }
  if (given.EXECUTOR_VM_MONITOR === "firecracker" && given.EXECUTOR_VM_ACCELERATOR === "tcg") {
    problems.push(
      "EXECUTOR_VM_MONITOR asks for Firecracker, which needs KVM, and EXECUTOR_VM_ACCELERATOR for tcg: change one of them",
    );
  }
  const hasMachines = isTrue(given.EXECUTOR_USE_FIRECRACKER) || runtime === "microvm";
  if (hasMachines && Number(given.EXECUTOR_JOB_NUM_CPUS) > maximumVmCpus) {
    problems.push(
      `${nameAsGiven("EXECUTOR_JOB_NUM_CPUS")} must be at most ${maximumVmCpus} for virtual machines, which have no more processors`,
    );
  }
  const hasGateway = isTrue(given.EXECUTOR_DOCKER_ADD_HOST_GATEWAY);
  if (url && URL.canParse(url) && new URL(url).hostname === hostGatewayName && !hasGateway) {
    problems.push(`EXECUTOR_FRONTEND_URL names ${hostGatewayName}, which needs EXECUTOR_DOCKER_ADD_HOST_GATEWAY=true`);
  }
  return problems;
}

/** As `flag` reads it. */
function isTrue(value: string | undefined): boolean {
  return /^(?:true|t|1|yes)$/i.test(value ?? "");
}

/** Path of the data directory, for commands that need no other setting. */
export function readDataDir({
  EXECUTOR_DATA_DIR: given,
  XDG_STATE_HOME: stateHome,
}: Readonly<Record<string, string | undefined>>): string {
  return resolve(given || defaultDataDir(stateHome || undefined));
}

/** The runtime that these variables choose. */
function kindOf(given: Readonly<Record<string, string | undefined>>): Config["runtime"]["kind"] {
  if (isTrue(given.EXECUTOR_USE_FIRECRACKER)) return "microvm";
  if (isTrue(given.EXECUTOR_USE_KUBERNETES)) return "kubernetes";
  const parsed = Environment.shape.EXECUTOR_RUNTIME.safeParse(given.EXECUTOR_RUNTIME);
  const kind = parsed.success ? parsed.data : "auto";
  return kind === "auto" && prefersKubernetes(given) ? "kubernetes" : kind;
}

function split(
  e: z.output<typeof Environment>,
  proxies: Proxies,
  given: Readonly<Record<string, string | undefined>>,
): Omit<Config, "notes"> {
  const queues = e.EXECUTOR_QUEUE_NAMES ?? e.EXECUTOR_QUEUE_NAME ?? [];
  const kind = kindOf(given);
  const isKubernetes = kind === "kubernetes";
  const cores = availableParallelism();
  const mostCpus = kind === "microvm" ? Math.min(cores, maximumVmCpus) : cores;
  const dataDir = readDataDir({ EXECUTOR_DATA_DIR: e.EXECUTOR_DATA_DIR, XDG_STATE_HOME: e.XDG_STATE_HOME });
  const deadlineMs = isKubernetes && e.KUBERNETES_JOB_DEADLINE ? e.KUBERNETES_JOB_DEADLINE * 1000 : Infinity;
  const maximumRuntimeMs = Math.min(e.EXECUTOR_MAXIMUM_RUNTIME_PER_JOB, deadlineMs);
  const limitCpus = (isKubernetes ? e.EXECUTOR_KUBERNETES_RESOURCE_LIMIT_CPU : undefined) ?? e.EXECUTOR_JOB_NUM_CPUS;
  const limitMemory = (isKubernetes ? e.EXECUTOR_KUBERNETES_RESOURCE_LIMIT_MEMORY : undefined) ?? e.EXECUTOR_JOB_MEMORY;
  const volumeSize = isKubernetes ? e.KUBERNETES_JOB_VOLUME_SIZE : undefined;
  return {
    dataDir,
    proxies,
    instance: {
      url: new URL(e.EXECUTOR_FRONTEND_URL.endsWith("/") ? e.EXECUTOR_FRONTEND_URL : `${e.EXECUTOR_FRONTEND_URL}/`),
      sharedSecret: e.EXECUTOR_FRONTEND_PASSWORD,
      proxies,
      queues: e.EXECUTOR_QUEUE_NAMES ? { kind: "several", names: queues } : { kind: "one", name: queues[0] ?? "" },
    },
    worker: {
      slots: e.EXECUTOR_MAXIMUM_NUM_JOBS,
      pollIntervalMs: e.EXECUTOR_QUEUE_POLL_INTERVAL,
      totalJobs: e.EXECUTOR_NUM_TOTAL_JOBS,
      maximumActiveMs: e.EXECUTOR_MAX_ACTIVE_TIME,
      drainTimeoutMs: e.EXECUTOR_DRAIN_TIMEOUT ?? null,
      deliveryTimeoutMs: e.EXECUTOR_DELIVERY_TIMEOUT,
      labels: e.EXECUTOR_LABELS,
    },
    job: {
      maximumRuntimeMs,
      // 0 means "no limit" in the protocol. A sandbox always has a limit, so 0 becomes the whole machine.
      maximumCpus: limitCpus === 0 ? mostCpus : limitCpus,
      // The cluster has other machines than this one.
      machineCpus: isKubernetes ? Infinity : cores,
      maximumMemoryBytes: limitMemory === 0 ? totalmem() : limitMemory,
      maximumPids: e.EXECUTOR_MAXIMUM_PIDS_PER_JOB,
      defaultShmBytes: e.EXECUTOR_JOB_SHM,
      maximumDiskBytes:
        (volumeSize ?? e.EXECUTOR_JOB_DISK ?? e.EXECUTOR_FIRECRACKER_DISK_SPACE ?? defaultDiskBytes) || null,
      egress: {
        default: e.EXECUTOR_DEFAULT_EGRESS ?? null,
        unenforced: e.EXECUTOR_UNENFORCED_EGRESS,
        openable: e.EXECUTOR_EGRESS_OPENABLE,
      },
      maximumLogBytes: e.EXECUTOR_MAXIMUM_LOG_SIZE,
      maximumLogBytesPerSecond: e.EXECUTOR_MAXIMUM_LOG_RATE,
      deliveryTimeoutMs: e.EXECUTOR_DELIVERY_TIMEOUT,
      outputs: {
        maximumFiles: e.EXECUTOR_MAXIMUM_OUTPUT_FILES,
        maximumBytes: e.EXECUTOR_MAXIMUM_OUTPUT_SIZE,
        maximumEntries: maximumWorkspaceEntries,
      },
      stepProxy: e.EXECUTOR_STEP_PROXY && { ...e.EXECUTOR_STEP_PROXY, noProxy: e.EXECUTOR_STEP_NO_PROXY },
      stepCertificateFile: e.EXECUTOR_STEP_CA_CERTIFICATES ? (e.NODE_EXTRA_CA_CERTS ?? null) : null,
      registryMirrors: e.EXECUTOR_DOCKER_REGISTRY_MIRROR_URL,
      registryCredentials: e.EXECUTOR_DOCKER_AUTH_CONFIG ?? {},
    },
    workspace: {
      keep: e.EXECUTOR_KEEP_WORKSPACES,
      mounts: e.EXECUTOR_WORKSPACE_MOUNTS,
      cacheBytes: e.EXECUTOR_MIRROR_CACHE_SIZE,
      maximumCheckoutBytes: e.EXECUTOR_MAXIMUM_CHECKOUT_SIZE,
      maximumCheckoutFiles: e.EXECUTOR_MAXIMUM_CHECKOUT_FILES,
      maximumCheckoutMs: e.EXECUTOR_MAXIMUM_CHECKOUT_TIME,
      submodules: { fetch: e.EXECUTOR_GIT_SUBMODULES, allowedHosts: e.EXECUTOR_GIT_SUBMODULE_HOSTS },
      lfs: { fetch: e.EXECUTOR_GIT_LFS, allowedHosts: e.EXECUTOR_GIT_LFS_HOSTS },
      path: e.PATH,
      certificateFile: e.NODE_EXTRA_CA_CERTS ?? null,
    },
    runtime: {
      kind,
      dockerHost: e.DOCKER_HOST ?? null,
      dockerRuntime: e.EXECUTOR_DOCKER_RUNTIME ?? null,
      dockerConfigFile:
        e.EXECUTOR_DOCKER_AUTH_CONFIG || isKubernetes
          ? null
          : join(e.DOCKER_CONFIG ?? join(homedir(), ".docker"), "config.json"),
      allowHostImage: e.EXECUTOR_ALLOW_HOST_IMAGE,
      unenforcedLimits: e.EXECUTOR_UNENFORCED_LIMITS,
      addHostGateway: e.EXECUTOR_DOCKER_ADD_HOST_GATEWAY,
      egress: {
        closed: e.EXECUTOR_EGRESS_CLOSED,
        pool: e.EXECUTOR_EGRESS_POOL ?? null,
        nameServers: e.EXECUTOR_EGRESS_NAME_SERVERS.length > 0 ? e.EXECUTOR_EGRESS_NAME_SERVERS : null,
      },
      oci: {
        program: e.EXECUTOR_OCI_RUNTIME ?? null,
        ids: e.EXECUTOR_SANDBOX_IDS ?? null,
        idsPerSandbox: e.EXECUTOR_SANDBOX_ID_COUNT,
        gvisor: { platform: e.EXECUTOR_RUNSC_PLATFORM ?? null, network: e.EXECUTOR_RUNSC_NETWORK },
      },
      microvm: {
        monitor: e.EXECUTOR_VM_MONITOR,
        accelerator: e.EXECUTOR_VM_ACCELERATOR,
        firecracker: e.EXECUTOR_FIRECRACKER ?? null,
        jailer: e.EXECUTOR_JAILER ?? null,
        qemu: e.EXECUTOR_QEMU ?? null,
        poolSize: e.EXECUTOR_VM_POOL_SIZE,
        bandwidth: {
          ingress: e.EXECUTOR_FIRECRACKER_BANDWIDTH_INGRESS,
          egress: e.EXECUTOR_FIRECRACKER_BANDWIDTH_EGRESS,
        },
        namePrefix: e.EXECUTOR_VM_PREFIX,
        startupScriptFile: e.EXECUTOR_VM_STARTUP_SCRIPT_PATH ?? null,
      },
      kubernetes: kubernetesOptions(e, given),
      images: {
        policy: {
          pull: e.EXECUTOR_IMAGE_PULL_POLICY,
          requireDigest: e.EXECUTOR_IMAGE_REQUIRE_DIGEST,
          allowed: e.EXECUTOR_ALLOWED_IMAGES ?? null,
          denied: e.EXECUTOR_DENIED_IMAGES ?? [],
        },
        mirrors: e.EXECUTOR_DOCKER_REGISTRY_MIRROR_URL,
        cacheBytes: e.EXECUTOR_IMAGE_CACHE_SIZE || null,
        certificatesDirectory: e.EXECUTOR_REGISTRY_CERTS_DIR,
      },
      hardening: isKubernetes
        ? { ...defaultHardening, seccomp: e.EXECUTOR_SANDBOX_SECCOMP }
        : {
            capabilities: e.EXECUTOR_SANDBOX_CAPABILITIES,
            noNewPrivileges: e.EXECUTOR_SANDBOX_NO_NEW_PRIVILEGES,
            seccomp: e.EXECUTOR_SANDBOX_SECCOMP,
            maskedPaths: e.EXECUTOR_SANDBOX_MASKED_PATHS,
            userNamespace: e.EXECUTOR_SANDBOX_USER_NAMESPACE,
            readOnlyRoot: e.EXECUTOR_SANDBOX_READ_ONLY_ROOT,
          },
    },
    janitor: { intervalMs: e.EXECUTOR_CLEANUP_TASK_INTERVAL },
    health: e.EXECUTOR_HEALTH_SERVER_ADDR === undefined ? null : parseListenAddress(e.EXECUTOR_HEALTH_SERVER_ADDR),
    minimumVersions: e.EXECUTOR_MINIMUM_VERSIONS,
    auditJobs: e.EXECUTOR_ENABLE_JOB_AUDIT_LOGGING,
    log: { level: logLevels[e.SRC_LOG_LEVEL], format: e.SRC_LOG_FORMAT },
  };
}

/** The default of the protocol's executors. */
const defaultDiskBytes = 20e9;

/** Maximum number of workspace entries to search for outputs. Entries beyond it are ignored. */
const maximumWorkspaceEntries = 2_000_000;

const logLevels = {
  dbug: "debug",
  debug: "debug",
  info: "info",
  warn: "warn",
  error: "error",
  eror: "error",
  crit: "fatal",
} as const;

function defaultDataDir(stateHome: string | undefined): string {
  if (process.getuid?.() === 0) return "/var/lib/airlock-executor";
  return join(stateHome ?? join(homedir(), ".local", "state"), "airlock-executor");
}

function parseListenAddress(text: string): { host: string; port: number } {
  const colon = text.lastIndexOf(":");
  const host = text.slice(0, colon).replace(/^\[|\]$/g, "");
  return { host: host === "" ? "::" : host, port: Number(text.slice(colon + 1)) };
}

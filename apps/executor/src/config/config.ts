import { availableParallelism, homedir, totalmem } from "node:os";
import { join, resolve } from "node:path";
import { QueueName } from "@airlock/api";
import { AirlockError } from "@airlock/job";
import { z } from "zod";
import { DurationMs, durationMs, flag, sizeBytes, wholeNumber } from "./environment-values.ts";
import type { Config } from "./options.ts";
import { parseLabels } from "./parse-labels.ts";
import { parseRegistryAuth } from "./parse-registry-auth.ts";

const queueNames = z.string().transform((text, context) => {
  const names = [...new Set(text.split(",").map((name) => name.trim()))];
  for (const name of names) {
    const parsed = QueueName.safeParse(name);
    if (!parsed.success)
      context.addIssue({
        code: "custom",
        message: `"${name}" is not a queue name: ${parsed.error.issues[0]?.message}`,
      });
  }
  return names;
});

const Environment = z.object({
  EXECUTOR_FRONTEND_URL: z
    .string({ error: "is not set: give the instance's address, e.g. https://airlock.example.com" })
    .refine(
      (text) => /^https?:\/\/[^/]/.test(text) && URL.canParse(text),
      "is not an address with http:// or https:// and a host",
    )
    .refine(
      (text) => !URL.canParse(text) || new URL(text).username === "",
      "must not hold credentials: they belong into EXECUTOR_FRONTEND_PASSWORD",
    ),
  EXECUTOR_FRONTEND_PASSWORD: z.string({
    error: "is not set: give the shared secret that the instance expects of executors",
  }),
  EXECUTOR_QUEUE_NAME: queueNames
    .refine((names) => names.length === 1, "names several queues: use EXECUTOR_QUEUE_NAMES")
    .optional(),
  EXECUTOR_QUEUE_NAMES: queueNames.optional(),
  EXECUTOR_QUEUE_POLL_INTERVAL: durationMs("1s"),
  EXECUTOR_MAXIMUM_NUM_JOBS: wholeNumber(1, 1, 1000),
  EXECUTOR_MAXIMUM_RUNTIME_PER_JOB: durationMs("30m").refine((ms) => ms > 0, "must be longer than 0"),
  EXECUTOR_NUM_TOTAL_JOBS: wholeNumber(0, 0),
  EXECUTOR_MAX_ACTIVE_TIME: durationMs("0"),
  EXECUTOR_CLEANUP_TASK_INTERVAL: durationMs("1m").refine((ms) => ms >= 1000, "must be at least 1s"),
  EXECUTOR_KEEP_WORKSPACES: flag(false),
  EXECUTOR_JOB_NUM_CPUS: z
    .string()
    .default("4")
    .transform((text, context) => {
      const cpus = /^\d{1,4}(?:\.\d{1,3})?$/.test(text) ? Number(text) : undefined;
      if (cpus === undefined)
        context.addIssue({
          code: "custom",
          message: `"${text}" is not a number of cores: write it as 4, 0.5, or 0 for no limit`,
        });
      return cpus ?? 0;
    }),
  EXECUTOR_JOB_MEMORY: sizeBytes("12G"),
  EXECUTOR_MAXIMUM_PIDS_PER_JOB: wholeNumber(4096, 1, 4_194_304),
  EXECUTOR_MAXIMUM_LOG_SIZE: sizeBytes("100M").refine((bytes) => bytes > 0, "must be more than 0"),
  EXECUTOR_MAXIMUM_OUTPUT_SIZE: sizeBytes("10G"),
  EXECUTOR_MAXIMUM_OUTPUT_FILES: wholeNumber(100_000, 0),
  EXECUTOR_MAXIMUM_CHECKOUT_SIZE: sizeBytes("20G").refine((bytes) => bytes > 0, "must be more than 0"),
  EXECUTOR_MAXIMUM_CHECKOUT_FILES: wholeNumber(2_000_000, 1),
  EXECUTOR_MAXIMUM_CHECKOUT_TIME: durationMs("10m").refine((ms) => ms > 0, "must be longer than 0"),
  EXECUTOR_MIRROR_CACHE_SIZE: sizeBytes("20G"),
  EXECUTOR_DEFAULT_EGRESS: z.enum(["none", "public"], { error: "must be none or public" }).default("public"),
  EXECUTOR_WORKSPACE_MOUNTS: z
    .enum(["auto", "always", "never"], { error: "must be auto, always or never" })
    .default("auto"),
  EXECUTOR_RUNTIME: z.enum(["auto", "docker", "oci"], { error: "must be auto, docker or oci" }).default("auto"),
  EXECUTOR_ALLOW_HOST_IMAGE: flag(false),
  EXECUTOR_USE_FIRECRACKER: flag(false).refine(
    (use) => !use,
    "asks for Firecracker, which this executor does not have: unset it and choose EXECUTOR_RUNTIME=docker or oci",
  ),
  EXECUTOR_DOCKER_ADD_HOST_GATEWAY: flag(false),
  EXECUTOR_DOCKER_AUTH_CONFIG: z
    .string()
    .optional()
    .transform((text, context) => {
      if (text === undefined) return undefined;
      const parsed = parseRegistryAuth(text);
      if (parsed === undefined)
        context.addIssue({
          code: "custom",
          message: 'is not {"auths":{"REGISTRY":{"auth":"base64 of USER:PASSWORD"}}}',
        });
      return parsed ?? {};
    }),
  EXECUTOR_LABELS: z
    .string()
    .default("")
    .transform((text, context) => {
      const parsed = parseLabels(text);
      for (const problem of parsed.problems) context.addIssue({ code: "custom", message: problem });
      return parsed.labels;
    }),
  EXECUTOR_DATA_DIR: z.string().optional(),
  EXECUTOR_DRAIN_TIMEOUT: DurationMs.optional(),
  EXECUTOR_HEALTH_SERVER_ADDR: z
    .string()
    .regex(/^(?:\[[0-9a-fA-F:.]+\]|[^:[\]]*):\d{1,5}$/, "is not an address: write it as :8080 or 127.0.0.1:8080")
    .optional(),
  DOCKER_HOST: z.string().optional(),
  DOCKER_CONFIG: z.string().optional(),
  XDG_STATE_HOME: z.string().optional(),
  SRC_LOG_LEVEL: z
    .enum(["dbug", "debug", "info", "warn", "error", "eror", "crit"], {
      error: "must be dbug, info, warn, error or crit",
    })
    .default("info"),
  SRC_LOG_FORMAT: z
    .string()
    .default("condensed")
    .transform((text) => (/^json/i.test(text) ? ("json" as const) : ("condensed" as const))),
  NODE_EXTRA_CA_CERTS: z.string().optional(),
  PATH: z.string().default("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
});

const hostGatewayName = "host.docker.internal";

/**
 * The only reader of the environment. Every problem is found before any is reported.
 * @throws {AirlockError} code `configuration`, one line per problem, each naming its variable and how to mend it.
 */
export function parseConfig(environment: Readonly<Record<string, string | undefined>>): Config {
  // An empty variable is what a template leaves where nothing was given: the same as none.
  const given = Object.fromEntries(
    Object.entries(environment).filter(([, value]) => value !== undefined && value !== ""),
  );
  const parsed = Environment.safeParse(given);
  const problems = parsed.success
    ? []
    : parsed.error.issues.map((issue) => `${String(issue.path[0])} ${issue.message}`);
  problems.push(...problemsBetween(given));
  if (!parsed.success || problems.length > 0) {
    throw new AirlockError(`the configuration is not valid:\n${problems.map((line) => `  - ${line}`).join("\n")}`, {
      code: "configuration",
      hint: "Set these environment variables right and start the executor again.",
    });
  }
  return split(parsed.data);
}

function problemsBetween(given: Readonly<Record<string, string | undefined>>): string[] {
  const problems: string[] = [];
  const { EXECUTOR_QUEUE_NAME: one, EXECUTOR_QUEUE_NAMES: several, EXECUTOR_FRONTEND_URL: url } = given;
  if (one === undefined && several === undefined) {
    problems.push(
      "EXECUTOR_QUEUE_NAME is not set: name the queue to take jobs from, or several in EXECUTOR_QUEUE_NAMES",
    );
  }
  if (one !== undefined && several !== undefined) {
    problems.push("EXECUTOR_QUEUE_NAME and EXECUTOR_QUEUE_NAMES are both set: keep one of them");
  }
  const gateway = given.EXECUTOR_DOCKER_ADD_HOST_GATEWAY;
  if (
    url &&
    URL.canParse(url) &&
    new URL(url).hostname === hostGatewayName &&
    !/^(?:true|t|1|yes)$/i.test(gateway ?? "")
  ) {
    problems.push(`EXECUTOR_FRONTEND_URL names ${hostGatewayName}, which needs EXECUTOR_DOCKER_ADD_HOST_GATEWAY=true`);
  }
  return problems;
}

function split(e: z.output<typeof Environment>): Config {
  const queues = e.EXECUTOR_QUEUE_NAMES ?? e.EXECUTOR_QUEUE_NAME ?? [];
  const cores = availableParallelism();
  const dataDir = resolve(e.EXECUTOR_DATA_DIR ?? defaultDataDir(e.XDG_STATE_HOME));
  const maximumRuntimeMs = e.EXECUTOR_MAXIMUM_RUNTIME_PER_JOB;
  return {
    dataDir,
    instance: {
      url: new URL(e.EXECUTOR_FRONTEND_URL.endsWith("/") ? e.EXECUTOR_FRONTEND_URL : `${e.EXECUTOR_FRONTEND_URL}/`),
      sharedSecret: e.EXECUTOR_FRONTEND_PASSWORD,
      queues: e.EXECUTOR_QUEUE_NAMES ? { kind: "several", names: queues } : { kind: "one", name: queues[0] ?? "" },
    },
    worker: {
      slots: e.EXECUTOR_MAXIMUM_NUM_JOBS,
      pollIntervalMs: e.EXECUTOR_QUEUE_POLL_INTERVAL,
      totalJobs: e.EXECUTOR_NUM_TOTAL_JOBS,
      maximumActiveMs: e.EXECUTOR_MAX_ACTIVE_TIME,
      drainTimeoutMs: e.EXECUTOR_DRAIN_TIMEOUT ?? null,
      labels: e.EXECUTOR_LABELS,
    },
    job: {
      maximumRuntimeMs,
      // 0 stands for "no limit" in the protocol; a sandbox always has one, so it becomes the whole machine.
      maximumCpus: e.EXECUTOR_JOB_NUM_CPUS === 0 ? cores : e.EXECUTOR_JOB_NUM_CPUS,
      machineCpus: cores,
      maximumMemoryBytes: e.EXECUTOR_JOB_MEMORY === 0 ? totalmem() : e.EXECUTOR_JOB_MEMORY,
      maximumPids: e.EXECUTOR_MAXIMUM_PIDS_PER_JOB,
      defaultEgress: e.EXECUTOR_DEFAULT_EGRESS,
      maximumLogBytes: e.EXECUTOR_MAXIMUM_LOG_SIZE,
      outputs: {
        maximumFiles: e.EXECUTOR_MAXIMUM_OUTPUT_FILES,
        maximumBytes: e.EXECUTOR_MAXIMUM_OUTPUT_SIZE,
        maximumEntries: maximumWorkspaceEntries,
      },
      registryCredentials: e.EXECUTOR_DOCKER_AUTH_CONFIG ?? {},
    },
    workspace: {
      keep: e.EXECUTOR_KEEP_WORKSPACES,
      mounts: e.EXECUTOR_WORKSPACE_MOUNTS,
      cacheBytes: e.EXECUTOR_MIRROR_CACHE_SIZE,
      maximumCheckoutBytes: e.EXECUTOR_MAXIMUM_CHECKOUT_SIZE,
      maximumCheckoutFiles: e.EXECUTOR_MAXIMUM_CHECKOUT_FILES,
      maximumCheckoutMs: e.EXECUTOR_MAXIMUM_CHECKOUT_TIME,
      path: e.PATH,
      certificateFile: e.NODE_EXTRA_CA_CERTS ?? null,
    },
    runtime: {
      kind: e.EXECUTOR_RUNTIME,
      dockerHost: e.DOCKER_HOST ?? null,
      dockerConfigFile: e.EXECUTOR_DOCKER_AUTH_CONFIG
        ? null
        : join(e.DOCKER_CONFIG ?? join(homedir(), ".docker"), "config.json"),
      allowHostImage: e.EXECUTOR_ALLOW_HOST_IMAGE,
      addHostGateway: e.EXECUTOR_DOCKER_ADD_HOST_GATEWAY,
    },
    janitor: { intervalMs: e.EXECUTOR_CLEANUP_TASK_INTERVAL },
    health: e.EXECUTOR_HEALTH_SERVER_ADDR === undefined ? null : parseListenAddress(e.EXECUTOR_HEALTH_SERVER_ADDR),
    log: { level: logLevels[e.SRC_LOG_LEVEL], format: e.SRC_LOG_FORMAT },
  };
}

/** Names that are looked at for outputs: a workspace of more has its first ones looked at. */
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

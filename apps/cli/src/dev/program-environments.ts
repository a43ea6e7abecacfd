import path from "node:path";

/** What `airlock dev` needs to know of the machine. */
export interface Machine {
  readonly cores: number;
  readonly memoryBytes: number;
}

/** The instance's environment: ours, with what makes it a dev instance. */
export function instanceEnvironment(
  env: NodeJS.ProcessEnv,
  options: { readonly listen: string; readonly dataDirectory: string },
): NodeJS.ProcessEnv {
  return {
    ...without(env, /^EXECUTOR_|^AIRLOCK_URL$/),
    AIRLOCK_LISTEN: options.listen,
    AIRLOCK_DATA_DIR: options.dataDirectory,
    AIRLOCK_ALLOW_LOCAL_REPOSITORIES: env.AIRLOCK_ALLOW_LOCAL_REPOSITORIES || "true",
  };
}

/** The executor's environment: its variables as they are set here, with defaults that fit one machine. */
export function executorEnvironment(
  env: NodeJS.ProcessEnv,
  options: {
    readonly url: string;
    readonly password: string;
    readonly dataDirectory: string;
    readonly machine: Machine;
  },
): NodeJS.ProcessEnv {
  const { machine } = options;
  const defaults = {
    ...(env.EXECUTOR_QUEUE_NAME ? {} : { EXECUTOR_QUEUE_NAMES: "default,batches,codeintel" }),
    EXECUTOR_RUNTIME: "auto",
    EXECUTOR_ALLOW_HOST_IMAGE: "true",
    EXECUTOR_DATA_DIR: path.join(options.dataDirectory, "executor"),
    EXECUTOR_DRAIN_TIMEOUT: "0",
    EXECUTOR_MAXIMUM_NUM_JOBS: "2",
    EXECUTOR_JOB_NUM_CPUS: String(Math.max(1, Math.min(4, machine.cores))),
    // Two jobs and the instance beside them.
    EXECUTOR_JOB_MEMORY: String(Math.min(12e9, Math.floor(machine.memoryBytes / 3))),
    SRC_LOG_FORMAT: "json",
  };
  const own = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined && value !== ""));
  return {
    ...defaults,
    // The administrator's credentials are none of the executor's business.
    ...without(own, /^AIRLOCK_/),
    EXECUTOR_FRONTEND_URL: options.url,
    EXECUTOR_FRONTEND_PASSWORD: options.password,
  };
}

function without(env: NodeJS.ProcessEnv, pattern: RegExp): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !pattern.test(name)));
}

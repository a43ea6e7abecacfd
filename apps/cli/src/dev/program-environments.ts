import path from "node:path";

/** The machine's capacity, from which `airlock dev` derives defaults. */
export interface Machine {
  readonly cores: number;
  readonly memoryBytes: number;
  /** Whether this process is root of the machine. */
  readonly isRoot: boolean;
}

/** The instance's environment: the current one, plus the settings of a dev instance. */
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

/** The executor's environment: the variables set here, with defaults that suit one machine. */
export function executorEnvironment(
  env: NodeJS.ProcessEnv,
  options: {
    readonly url: string;
    readonly password: string;
    /** The only queue of an executor token; `undefined` for the shared secret. */
    readonly queue: string | undefined;
    readonly dataDirectory: string;
    readonly machine: Machine;
  },
): NodeJS.ProcessEnv {
  const { machine } = options;
  const defaults = {
    ...(env.EXECUTOR_QUEUE_NAME || options.queue !== undefined
      ? {}
      : { EXECUTOR_QUEUE_NAMES: "default,batches,codeintel" }),
    EXECUTOR_RUNTIME: "auto",
    EXECUTOR_ALLOW_HOST_IMAGE: "true",
    // The directory holds the executor's name. The instance refuses a token under the name of an executor that just
    // served more queues.
    EXECUTOR_DATA_DIR: path.join(
      options.dataDirectory,
      options.queue === undefined ? "executor" : `executor-${options.queue}`,
    ),
    EXECUTOR_DRAIN_TIMEOUT: "0",
    EXECUTOR_MAXIMUM_NUM_JOBS: "2",
    EXECUTOR_JOB_NUM_CPUS: String(Math.max(1, Math.min(4, machine.cores))),
    // Leaves memory for two jobs and the instance.
    EXECUTOR_JOB_MEMORY: String(Math.min(12e9, Math.floor(machine.memoryBytes / 3))),
    // Other users than root usually can't write to cgroups. The executor's start warns that limits are not enforced.
    ...(machine.isRoot ? {} : { EXECUTOR_UNENFORCED_LIMITS: "none" }),
    SRC_LOG_FORMAT: "json",
  };
  const own = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined && value !== ""));
  return {
    ...defaults,
    // The executor must not get the administrator's credentials.
    ...without(own, options.queue === undefined ? /^AIRLOCK_/ : /^AIRLOCK_|^EXECUTOR_QUEUE_NAMES?$/),
    ...(options.queue === undefined ? {} : { EXECUTOR_QUEUE_NAME: options.queue }),
    EXECUTOR_FRONTEND_URL: options.url,
    EXECUTOR_FRONTEND_PASSWORD: options.password,
  };
}

function without(env: NodeJS.ProcessEnv, pattern: RegExp): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !pattern.test(name)));
}

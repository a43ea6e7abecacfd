import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { AirlockError, errorMessage } from "@airlock/job";
import { relaxations } from "@airlock/runtime";
import { createOciRuntime, type OciRuntimeOptions } from "@airlock/runtime/oci";
import { selectRuntime } from "@airlock/runtime/select";
import { parseConfig } from "./config/config.ts";
import type { Config } from "./config/options.ts";
import { readDockerConfig } from "./config/parse-registry-auth.ts";
import { runExecutor, type StopExecutor } from "./executor.ts";
import { instanceAddresses } from "./instance-addresses.ts";
import { createLogger } from "./logger.ts";
import { validate } from "./validate.ts";
import { executorVersion } from "./version.ts";

const usage = `Usage: executor [run [--verify] | validate | image load FILE | version]

  run              take jobs from the instance and run them (default); --verify: validate first
  validate         check the configuration, git, the runtime, the instance and the data directory
  image load FILE  add the images of an OCI layout or a docker save archive to the oci runtime's store
  version          print the version

Configured by environment variables: EXECUTOR_FRONTEND_URL, EXECUTOR_FRONTEND_PASSWORD and EXECUTOR_QUEUE_NAME at least.
Exit codes: 0 done, 1 failed, 2 wrong usage.`;

async function main(args: readonly string[]): Promise<number> {
  const [command = "run", ...rest] = args;
  // Files of a checkout are for steps that may run as any user, whatever the operator's shell is set to.
  process.umask(0o022);
  if (["help", "--help", "-h"].includes(command)) {
    console.log(usage);
    return 0;
  }
  if (command === "version" || command === "--version") {
    console.log(executorVersion);
    return 0;
  }
  if (command === "validate" && rest.length === 0) return (await runValidate(parseConfig(process.env))) ? 0 : 1;
  if (command === "image" && rest.length === 2 && rest[0] === "load") {
    return await loadImages(parseConfig(process.env), resolve(rest[1] ?? ""));
  }
  if (command === "run" && rest.every((flag) => flag === "--verify"))
    return await run(parseConfig(process.env), rest.length > 0);
  console.error(usage);
  return 2;
}

async function run(given: Config, verify: boolean): Promise<number> {
  if (verify && !(await runValidate(given))) return 1;
  const config = await withDockerConfig(given);
  const logger = createLogger(config.log);
  for (const relaxation of relaxations(config.runtime.hardening))
    logger.warn({ relaxation }, "sandboxes are less isolated than by default");
  const signals = new StopSignals();
  await runExecutor({
    config,
    logger,
    createRuntime: (stateDir, signal) => createRuntime(config, stateDir, signal),
    onReadyToStop: (stop) => signals.connect(stop),
  });
  return 0;
}

/** Credentials that the machine's user keeps for Docker, where none were given in the environment. */
async function withDockerConfig(config: Config): Promise<Config> {
  const { dockerConfigFile } = config.runtime;
  if (dockerConfigFile === null) return config;
  return { ...config, job: { ...config.job, registryCredentials: await readDockerConfig(dockerConfigFile) } };
}

/** The first signal drains, the second one stops running jobs and hands them back, the third one ends the process. */
class StopSignals {
  #received = 0;
  #stop: StopExecutor | undefined;

  constructor() {
    for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, () => this.#receive(signal));
  }

  connect(stop: StopExecutor): void {
    this.#stop = stop;
  }

  #receive(signal: NodeJS.Signals): void {
    this.#received += 1;
    // Before anything runs there is nothing to hand back.
    if (!this.#stop || this.#received > 2) process.exit(1);
    if (this.#received === 1) this.#stop.drain(signal);
    else this.#stop.now("the executor was told to stop at once");
  }
}

async function createRuntime(config: Config, stateDir: string, signal: AbortSignal) {
  const { kind, dockerHost, allowHostImage, hardening } = config.runtime;
  const egress = { closed: await instanceAddresses(config.instance.url) };
  const docker = { ...(dockerHost === null ? {} : { host: dockerHost }), allowHostImage, egress, hardening };
  return selectRuntime({ kind, docker, oci: { ...ociOptions(config, stateDir), egress } }, { signal });
}

function ociOptions({ runtime }: Config, stateDir: string): OciRuntimeOptions {
  const { allowHostImage, hardening, oci } = runtime;
  return {
    stateDir,
    allowHostImage,
    hardening,
    idRange: oci.idRange,
    ...(oci.program === null ? {} : { runtimePath: oci.program }),
    gvisor: { network: oci.gvisor.network, ...(oci.gvisor.platform === null ? {} : { platform: oci.gvisor.platform }) },
  };
}

function runtimeDir(config: Config): string {
  return join(config.dataDir, "runtime");
}

async function runValidate(config: Config): Promise<boolean> {
  return await validate({
    config,
    createRuntime: async (signal) => {
      await mkdir(runtimeDir(config), { recursive: true });
      return await createRuntime(config, runtimeDir(config), signal);
    },
    print: (line) => console.log(line),
    signal: new AbortController().signal,
  });
}

async function loadImages(config: Config, file: string): Promise<number> {
  const runtime = await createOciRuntime(ociOptions(config, runtimeDir(config)));
  try {
    for (const reference of await runtime.loadImages(file, { signal: new AbortController().signal }))
      console.log(reference);
    return 0;
  } finally {
    await runtime.close();
  }
}

main(process.argv.slice(2)).then(
  (exitCode) => process.exit(exitCode),
  (error: unknown) => {
    // On purpose: a message and what to do. Otherwise a defect: its stack.
    if (error instanceof AirlockError) {
      console.error(`executor: ${errorMessage(error)}`);
      if (error.hint) console.error(error.hint);
    } else {
      console.error(error);
    }
    process.exit(1);
  },
);

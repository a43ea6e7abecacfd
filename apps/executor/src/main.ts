import { mkdir } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { AirlockError, assertNever, errorMessage } from "@airlock/job";
import { type ImageOptions, relaxations } from "@airlock/runtime";
import { createOciRuntime, type OciRuntimeOptions } from "@airlock/runtime/oci";
import { selectRuntime } from "@airlock/runtime/select";
import { parseCommandLine } from "./command-line.ts";
import { parseConfig } from "./config/config.ts";
import type { Config } from "./config/options.ts";
import { runExecutor, type StopExecutor } from "./executor.ts";
import { install, installPath, readOsRelease } from "./install/install.ts";
import { createLogger } from "./logger.ts";
import { readDockerConfig } from "./registry-credentials/docker-config.ts";
import { DockerConfigCredentials } from "./registry-credentials/docker-config-credentials.ts";
import { usage } from "./usage.ts";
import { validate } from "./validate/validate.ts";
import { versionText } from "./version.ts";

async function main(args: readonly string[]): Promise<number> {
  const command = parseCommandLine(args);
  // Files of a checkout are for steps that may run as any user, whatever the operator's shell is set to.
  process.umask(0o022);
  switch (command.kind) {
    case "help":
      console.log(usage(command.topic));
      return 0;
    case "problem":
      console.error(`executor: ${command.message}\n\n${usage(command.topic)}`);
      return 2;
    case "version":
      console.log(versionText());
      return 0;
    case "install": {
      const { target } = command;
      const isRoot = process.getuid?.() === 0;
      const path = installPath(process.env.PATH);
      await install({ target, path, isRoot, osRelease: await readOsRelease(), print: (line) => console.log(line) });
      return 0;
    }
    case "validate":
      return (await runValidate(parseConfig(process.env))) ? 0 : 1;
    case "load-images":
      return await loadImages(parseConfig(process.env), resolve(command.file));
    case "run":
      return await run(parseConfig(process.env), command.verify);
    default:
      return assertNever(command);
  }
}

async function run(config: Config, verify: boolean): Promise<number> {
  if (verify && !(await runValidate(config))) return 1;
  // Now rather than with the first job.
  if (config.runtime.dockerConfigFile !== null) await readDockerConfig(config.runtime.dockerConfigFile);
  const logger = createLogger(config.log);
  for (const relaxation of relaxations(config.runtime.hardening))
    logger.warn({ relaxation }, "sandboxes are less isolated than by default");
  for (const note of config.notes) logger.warn({ note }, "a variable without effect");
  const signals = new StopSignals();
  await runExecutor({
    config,
    logger,
    createRuntime: (stateDir, signal, onProblem) => createRuntime(config, stateDir, { signal, onProblem }),
    onReadyToStop: (stop) => signals.connect(stop),
  });
  return 0;
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

async function createRuntime(
  config: Config,
  stateDir: string,
  { signal, onProblem }: { readonly signal: AbortSignal; readonly onProblem: (problem: string) => void },
) {
  const { kind, dockerHost, dockerRuntime, allowHostImage, hardening, addHostGateway } = config.runtime;
  const { closed, pool, nameServers } = config.runtime.egress;
  const egress = {
    closed,
    closedHosts: [config.instance.url.hostname.replace(/^\[|\]$/g, "")],
    ...(pool === null ? {} : { pool }),
    ...(nameServers === null ? {} : { upstreams: nameServers }),
    onProblem,
  };
  const docker = {
    ...(dockerHost === null ? {} : { host: dockerHost }),
    ...(dockerRuntime === null ? {} : { runtime: dockerRuntime }),
    allowHostImage,
    egress,
    hardening,
    addHostGateway,
    stateDir,
    images: imageOptions(config),
  };
  return selectRuntime({ kind, docker, oci: { ...ociOptions(config, stateDir), egress } }, { signal });
}

/** How images are got; where the environment has no credentials, those that the machine's user keeps for Docker. */
function imageOptions({ runtime, workspace }: Config): Partial<ImageOptions> {
  const { policy, mirrors, cacheBytes } = runtime.images;
  const { dockerConfigFile: file } = runtime;
  if (file === null) return { policy, mirrors, cacheBytes };
  const env = { PATH: workspace.path, HOME: homedir(), DOCKER_CONFIG: dirname(file) };
  const own = new DockerConfigCredentials({ file, env });
  return { policy, mirrors, cacheBytes, credentials: (registry, options) => own.find(registry, options) };
}

function ociOptions(config: Config, stateDir: string): OciRuntimeOptions {
  const { allowHostImage, hardening, images, oci } = config.runtime;
  return {
    stateDir,
    images: imageOptions(config),
    registry: { certificatesDirectory: images.certificatesDirectory },
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
      return await createRuntime(config, runtimeDir(config), { signal, onProblem: () => {} });
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

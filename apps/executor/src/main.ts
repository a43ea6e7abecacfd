import { mkdir } from "node:fs/promises";
import { resolve } from "node:path";
import { AirlockError, errorMessage } from "@airlock/job";
import { readProxies } from "@airlock/proxy";
import { relaxations } from "@airlock/runtime";
import { type CommandLineActions, runCommandLine } from "./cli/command-line.ts";
import { createRuntime, openMicrovm } from "./cli/create-runtime.ts";
import { install, installPath, readOsRelease } from "./cli/install/install.ts";
import { loadImages } from "./cli/load-images.ts";
import { createLogger } from "./cli/logger.ts";
import { guestDir, runtimeDir } from "./cli/runtime-dir.ts";
import {
  attachTestVm,
  endTestVm,
  type HeldTestVms,
  holdCommand,
  holdTestVmProcess,
  parseHoldOptions,
  printTestVms,
  type TestVmContext,
  testVm,
} from "./cli/test-vm/test-vm.ts";
import { validate } from "./cli/validate/validate.ts";
import { parseConfig, readDataDir } from "./config/config.ts";
import type { Config } from "./config/options.ts";
import { runExecutor } from "./executor.ts";
import { localEnvironment, runLocalJob } from "./local/run-local-job.ts";
import { readDockerConfig } from "./registry-credentials/docker-config.ts";
import { StopSignals } from "./worker/stop-signals.ts";

const actions: CommandLineActions = {
  run: async ({ verify }) => await run(parseConfig(process.env), verify),
  validate: async () => ((await runValidate(parseConfig(process.env))) ? 0 : 1),
  install: async (target, guest) => {
    await install({
      target,
      guest,
      guestDir: guestDir(readDataDir(process.env)),
      path: installPath(process.env.PATH),
      proxyEnvironment: readProxies(process.env).environment,
      isRoot: process.getuid?.() === 0,
      osRelease: await readOsRelease(),
      print: (line) => console.log(line),
    });
    return 0;
  },
  loadImages: async (file) => await loadImages(parseConfig(process.env, { needsInstance: false }), resolve(file)),
  runJob: async () => {
    const config = parseConfig({ ...process.env, ...localEnvironment });
    await runLocalJob({
      config,
      logger: createLogger(config.log),
      createRuntime: (stateDir, signal) =>
        createRuntime(config, stateDir, { signal, onProblem: (problem) => console.error(problem) }),
      stdin: process.stdin,
      stdout: process.stdout,
    });
    return 0;
  },
  testVm: async (options) => await testVm(options, testVmContext()),
  attachTestVm: async (name) => await attachTestVm(name, heldTestVms()),
  endTestVm: async (name) => await endTestVm(name, heldTestVms()),
  listTestVms: async () => await printTestVms(heldTestVms()),
};

const print = {
  out: (line: string) => console.log(line),
  error: (line: string) => console.error(line),
};

function testVmContext(): TestVmContext {
  return { config: parseConfig(process.env), openRuntime: openMicrovm, ...print };
}

function heldTestVms(): HeldTestVms {
  return { dataDir: readDataDir(process.env), ...print };
}

async function run(config: Config, verify: boolean): Promise<number> {
  if (verify && !(await runValidate(config))) return 1;
  // Report an invalid file at startup instead of with the first job.
  if (config.runtime.dockerConfigFile !== null) await readDockerConfig(config.runtime.dockerConfigFile);
  const logger = createLogger(config.log);
  for (const relaxation of relaxations(config.runtime.hardening))
    logger.warn({ relaxation }, "sandboxes are less isolated than the default");
  for (const note of config.notes) logger.warn({ note }, "a variable has no effect");
  const signals = new StopSignals();
  await runExecutor({
    config,
    logger,
    createRuntime: (stateDir, signal, onProblem) => createRuntime(config, stateDir, { signal, onProblem }),
    onReadyToStop: (stop) => signals.connect(stop),
  });
  return 0;
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

// Steps that run as any user must be able to read a checkout, whatever umask the administrator's shell has.
process.umask(0o022);
const output = {
  out: (text: string) => void process.stdout.write(text),
  error: (text: string) => void process.stderr.write(text),
};
const [command, ...rest] = process.argv.slice(2);
const running =
  command === holdCommand
    ? holdTestVmProcess(parseHoldOptions(rest[0] ?? ""), testVmContext())
    : runCommandLine(process.argv.slice(2), actions, output);
running.then(
  (exitCode) => process.exit(exitCode),
  (error: unknown) => {
    // An expected error: print its message and its hint. Any other error is a defect: print its stack.
    if (error instanceof AirlockError) {
      console.error(`executor: ${errorMessage(error)}`);
      if (error.hint) console.error(error.hint);
    } else {
      console.error(error);
    }
    process.exit(1);
  },
);

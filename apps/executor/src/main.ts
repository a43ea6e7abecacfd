import { mkdir } from "node:fs/promises";
import { resolve } from "node:path";
import { AirlockError, assertNever, errorMessage } from "@airlock/job";
import { relaxations } from "@airlock/runtime";
import { parseCommandLine } from "./cli/command-line.ts";
import { createRuntime } from "./cli/create-runtime.ts";
import { install, installPath, readOsRelease } from "./cli/install/install.ts";
import { loadImages } from "./cli/load-images.ts";
import { createLogger } from "./cli/logger.ts";
import { runtimeDir } from "./cli/runtime-dir.ts";
import { usage } from "./cli/usage.ts";
import { validate } from "./cli/validate/validate.ts";
import { versionText } from "./cli/version-text.ts";
import { parseConfig } from "./config/config.ts";
import type { Config } from "./config/options.ts";
import { runExecutor } from "./executor.ts";
import { readDockerConfig } from "./registry-credentials/docker-config.ts";
import { StopSignals } from "./worker/stop-signals.ts";

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

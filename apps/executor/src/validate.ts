import { access, constants, mkdir } from "node:fs/promises";
import { AirlockError, errorMessage } from "@airlock/job";
import type { Runtime } from "@airlock/runtime";
import type { Config } from "./config/options.ts";
import { InstanceClient } from "./instance-client/instance-client.ts";
import { Git } from "./workspace/git.ts";

export interface ValidateOptions {
  readonly config: Config;
  readonly createRuntime: (signal: AbortSignal) => Promise<Runtime>;
  /** One line of the report. */
  readonly print: (line: string) => void;
  readonly signal: AbortSignal;
}

/** What a check found, in words. */
type Check = (signal: AbortSignal) => Promise<string>;

const minimumGit = [2, 29] as const;
const checkMs = 20_000;

/** Checks everything that a job will need, and prints each check with how to mend what fails. Whether all passed. */
export async function validate({ config, createRuntime, print, signal }: ValidateOptions): Promise<boolean> {
  const checks: Readonly<Record<string, Check>> = {
    "data directory": () => checkDataDirectory(config.dataDir),
    git: (s) => checkGit(config, s),
    runtime: async (s) => await checkRuntime(await createRuntime(s), print, s),
    instance: (s) => checkInstance(config, s),
  };
  let passed = true;
  print("ok    configuration");
  for (const [name, check] of Object.entries(checks)) {
    try {
      print(`ok    ${name}: ${await check(AbortSignal.any([signal, AbortSignal.timeout(checkMs)]))}`);
    } catch (error) {
      signal.throwIfAborted();
      passed = false;
      print(`FAIL  ${name}: ${errorMessage(error)}`);
      if (error instanceof AirlockError && error.hint) print(`      ${error.hint}`);
    }
  }
  print(passed ? "All checks passed!" : "Some checks failed.");
  return passed;
}

async function checkDataDirectory(dir: string): Promise<string> {
  try {
    await mkdir(dir, { recursive: true, mode: 0o711 });
    await access(dir, constants.W_OK | constants.X_OK);
    return dir;
  } catch (cause) {
    throw new AirlockError(`${dir} is not writable`, {
      code: "data-dir-unusable",
      hint: "Make it writable for this user, or name another one in EXECUTOR_DATA_DIR.",
      cause,
    });
  }
}

async function checkGit({ workspace, dataDir }: Config, signal: AbortSignal): Promise<string> {
  const hint = "Install git 2.29 or newer, e.g. apt-get install -y git";
  const git = new Git({ path: workspace.path, homeDir: dataDir, certificateFile: workspace.certificateFile });
  const version = await git.version(signal).catch((cause: unknown) => {
    throw new AirlockError("git does not run", { code: "git-missing", hint, cause });
  });
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major < minimumGit[0] || (major === minimumGit[0] && minor < minimumGit[1])) {
    throw new AirlockError(`git ${version} is too old`, { code: "git-too-old", hint });
  }
  return version;
}

async function checkRuntime(runtime: Runtime, print: (line: string) => void, signal: AbortSignal): Promise<string> {
  try {
    const { version, enforces, notes } = await runtime.describe({ signal });
    for (const note of notes) print(`note  runtime: ${note}`);
    const missing = Object.entries(enforces).flatMap(([what, is]) => (is ? [] : [what]));
    const weaker = missing.length > 0 ? `, does not enforce ${missing.join(", ")}` : "";
    return `${runtime.name} ${version}${weaker}`;
  } finally {
    await runtime.close();
  }
}

async function checkInstance({ instance }: Config, signal: AbortSignal): Promise<string> {
  const client = new InstanceClient(instance, "validate");
  try {
    await client.testAuthentication(signal);
    return `${instance.url.origin} takes the shared secret`;
  } finally {
    await client.close();
  }
}

import type { Runtime } from "@airlock/runtime";
import type { Config } from "../../config/options.ts";
import { checkCertificates } from "./check-certificates.ts";
import { checkConfiguration } from "./check-configuration.ts";
import { checkDataDirectory } from "./check-data-directory.ts";
import { checkGit } from "./check-git.ts";
import { checkInstance } from "./check-instance.ts";
import { checkKubernetes } from "./check-kubernetes.ts";
import { checkProxies } from "./check-proxies.ts";
import { checkRegistryCredentials } from "./check-registry-credentials.ts";
import { checkRuntime } from "./check-runtime.ts";
import { checkUser } from "./check-user.ts";
import { checkVirtualMachine } from "./check-virtual-machine.ts";
import { runChecks } from "./run-checks.ts";

export interface ValidateOptions {
  readonly config: Config;
  readonly createRuntime: (signal: AbortSignal) => Promise<Runtime>;
  /** Prints one line of the report. */
  readonly print: (line: string) => void;
  readonly signal: AbortSignal;
}

/**
 * Checks everything that jobs need and prints each check, with how to fix what fails. Resolves to whether all passed.
 */
export async function validate({ config, createRuntime, print, signal }: ValidateOptions): Promise<boolean> {
  // Opening the microvm runtime boots guests, so it is opened once.
  let opening: Promise<Runtime> | undefined;
  const openRuntime = async (opened: AbortSignal) => {
    opening ??= createRuntime(opened);
    return await opening;
  };
  const checks = [
    checkConfiguration(config),
    checkUser(config.runtime.kind),
    checkDataDirectory(config),
    checkGit(config),
    checkRuntime(config, openRuntime),
    ...(config.runtime.kind === "microvm" ? [checkVirtualMachine(openRuntime)] : []),
    ...(config.runtime.kind === "kubernetes" ? [checkKubernetes(config)] : []),
    checkRegistryCredentials(config),
    checkCertificates(config),
    checkProxies(config),
    checkInstance(config),
  ];
  try {
    const passed = await runChecks(checks, { print, signal });
    print(passed ? "All checks passed!" : "Some checks failed.");
    return passed;
  } finally {
    const runtime = await opening?.catch(() => undefined);
    await runtime?.close();
  }
}

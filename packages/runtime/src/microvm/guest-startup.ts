import type { SandboxStep } from "../contract/index.ts";
import { capabilityNumbers } from "./guest/capability-numbers.ts";
import type { GuestStep } from "./guest/step-spec.ts";

/** What runs in each guest before the job's first step. */
export interface GuestStartup {
  /** Name of the guest's own system, as `MicrovmRuntime.systemImage`. */
  readonly image: string;
  /** Content of a shell script. */
  readonly script: Buffer;
}

/** The startup script as a step. */
export function startupStep({ image, script }: GuestStartup): SandboxStep {
  return {
    key: "startup",
    image,
    files: [{ path: "startup", content: script, executable: true }],
    script: "/airlock/startup",
    workingDirectory: "/data",
    env: {},
  };
}

/**
 * Gives a step the rights of the guest's root, so that it can change the guest's kernel settings. Only for programs of
 * the administrator. AF_VSOCK stays out of reach.
 */
export function asGuestRoot(step: GuestStep, seccompFilter: Buffer): GuestStep {
  return {
    ...step,
    capabilities: capabilityNumbers(),
    noNewPrivileges: false,
    ownNetwork: false,
    userNamespace: false,
    readOnlySys: false,
    readOnlyRoot: false,
    maskedPaths: [],
    readOnlyPaths: [],
    seccompFilter,
  };
}

import type { Hardening } from "../isolation/hardening.ts";
import { hiddenPaths } from "../isolation/hidden-paths.ts";
import { seccompProfile } from "../isolation/seccomp-profile.ts";

export interface HardeningFacts {
  /**
   * Architecture of the engine's machine, which decides the system call numbers in the filter. `null` if the engine has
   * no seccomp.
   */
  readonly seccompArchitecture: NodeJS.Architecture | null;
  /** Whether the engine maps a container's root to an unprivileged user (user namespaces). */
  readonly remapsUsers: boolean;
  /** Size of each tmpfs that a read-only root gets. */
  readonly memoryBytes: number;
}

/** Setting these fields replaces the engine's own lists. */
const hidden = { MaskedPaths: hiddenPaths.maskedPaths, ReadonlyPaths: hiddenPaths.readonlyPaths };

/** The part of a container's `HostConfig` that hardens it. */
export function containerHardening(hardening: Hardening, facts: HardeningFacts): object {
  const { capabilities, noNewPrivileges, seccomp, maskedPaths, userNamespace, readOnlyRoot } = hardening;
  return {
    CapDrop: ["ALL"],
    CapAdd: capabilities,
    SecurityOpt: [...(noNewPrivileges ? ["no-new-privileges:true"] : []), ...seccompOption(seccomp, facts)],
    ...(maskedPaths ? hidden : { MaskedPaths: [], ReadonlyPaths: [] }),
    ...(facts.remapsUsers && !userNamespace ? { UsernsMode: "host" } : {}),
    ...(readOnlyRoot ? { ReadonlyRootfs: true, Tmpfs: writablePlaces(facts.memoryBytes) } : {}),
  };
}

/**
 * Passes our own profile, the same one for every runtime. The engine's default profile is as old as the engine and may
 * allow system calls that have since been found dangerous.
 */
function seccompOption(wanted: boolean, { seccompArchitecture }: HardeningFacts): string[] {
  if (seccompArchitecture === null) return [];
  return [`seccomp=${wanted ? JSON.stringify(seccompProfile(seccompArchitecture)) : "unconfined"}`];
}

/** Directories that programs expect to be writable. Their pages count as the container's memory. */
function writablePlaces(bytes: number): Readonly<Record<string, string>> {
  const options = `rw,exec,nosuid,nodev,size=${bytes}`;
  return { "/tmp": `${options},mode=1777`, "/run": `${options},mode=755` };
}

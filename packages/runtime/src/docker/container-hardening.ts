import type { Hardening } from "../isolation/hardening.ts";
import { hiddenPaths } from "../isolation/hidden-paths.ts";
import { seccompProfile } from "../isolation/seccomp-profile.ts";

export interface HardeningFacts {
  /** Of the engine's machine, for the system calls that a filter names; `null` where the engine filters none. */
  readonly seccompArchitecture: NodeJS.Architecture | null;
  /** Whether the engine maps root of a container to a user of its own. */
  readonly remapsUsers: boolean;
  /** For the memory file systems of a read-only root. */
  readonly memoryBytes: number;
}

/** Whoever sets these replaces the engine's own lists. */
const hidden = { MaskedPaths: hiddenPaths.maskedPaths, ReadonlyPaths: hiddenPaths.readonlyPaths };

/** The part of a container's `HostConfig` that stands for its hardening. */
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

/** The profile is the same one for every runtime: an engine's own is as old as the engine, and lets through what was found since. */
function seccompOption(wanted: boolean, { seccompArchitecture }: HardeningFacts): string[] {
  if (seccompArchitecture === null) return [];
  return [`seccomp=${wanted ? JSON.stringify(seccompProfile(seccompArchitecture)) : "unconfined"}`];
}

/** What programs write without asking; its pages count as the container's memory. */
function writablePlaces(bytes: number): Readonly<Record<string, string>> {
  const options = `rw,exec,nosuid,nodev,size=${bytes}`;
  return { "/tmp": `${options},mode=1777`, "/run": `${options},mode=755` };
}

import type { Hardening } from "../isolation/hardening.ts";
import { seccompProfile } from "../isolation/seccomp-profile.ts";

export interface HardeningFacts {
  /** Of the engine's machine, for the system calls that a filter names; `null` where the engine filters none. */
  readonly seccompArchitecture: NodeJS.Architecture | null;
  /** Whether the engine maps root of a container to a user of its own. */
  readonly remapsUsers: boolean;
  /** For the memory file systems of a read-only root. */
  readonly memoryBytes: number;
}

/** What of the file systems of the kernel tells of the host, or is as good as a switch of it. */
const hidden = {
  MaskedPaths: [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
  ],
  ReadonlyPaths: ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
};

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

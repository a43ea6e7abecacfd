import type { RuntimeDescription } from "../contract.ts";
import type { EgressCapabilities } from "../egress/index.ts";
import type { InfoReply, VersionReply } from "./engine-replies.ts";

/** The first without the escape through a leaked file descriptor. */
const minimumRunc = [1, 1, 12];

const outOfReach =
  "Egress policies other than none can't be enforced: the engine's networks are not in the executor's network namespace.";

interface EgressFindings {
  readonly capabilities: EgressCapabilities;
  /** Whether the engine's bridges are where our rules are. */
  readonly inReach: boolean;
}

const notAsked: EgressFindings = {
  capabilities: { public: false, allow: false, ipv6: false, notes: [] },
  inReach: false,
};

/** What an engine with these replies enforces, and what is weaker than it could be. */
export function describeEngine(
  version: VersionReply,
  info: InfoReply,
  { capabilities, inReach }: EgressFindings = notAsked,
): RuntimeDescription {
  const notes: string[] = [];
  const security = info.SecurityOptions ?? [];
  if (info.MemoryLimit && !info.SwapLimit) {
    notes.push(
      "The kernel does not count swap: boot with swapaccount=1, or use cgroup v2, so that the memory limit includes it.",
    );
  }
  if (!security.some((option) => option.startsWith("name=seccomp"))) {
    notes.push(
      "The engine has no seccomp filter: steps may use every system call; install an engine built with seccomp.",
    );
  }
  if (!security.some((option) => /^name=(?:userns|rootless)/.test(option))) {
    notes.push(
      'Root in a container is root on the machine: set "userns-remap" in the engine\'s daemon.json, or run it rootless.',
    );
  }
  const runc = /^(\d+)\.(\d+)\.(\d+)/.exec(version.Components?.find(({ Name }) => Name === "runc")?.Version ?? "");
  if (runc && isOlder(runc.slice(1).map(Number), minimumRunc)) {
    notes.push(
      `The engine's runc ${runc[0]} is older than ${minimumRunc.join(".")}: upgrade it, or make sure that the distribution has mended CVE-2024-21626 in it.`,
    );
  }
  notes.push(
    "Limits hold for each image's container; a job's containers of other images may keep memory file systems beside it.",
  );
  return {
    version: version.Version,
    enforces: {
      cpu: info.CpuCfsPeriod && info.CpuCfsQuota,
      memory: info.MemoryLimit,
      pids: info.PidsLimit,
      egressNone: true,
      egressPublic: capabilities.public && inReach,
      egressAllow: capabilities.allow && inReach,
      disk: "none",
    },
    notes: [...notes, ...(capabilities.public && !inReach ? [outOfReach] : capabilities.notes)],
  };
}

function isOlder(version: readonly number[], minimum: readonly number[]): boolean {
  const different = minimum.findIndex((part, index) => version[index] !== part);
  return different >= 0 && (version[different] ?? 0) < (minimum[different] ?? 0);
}

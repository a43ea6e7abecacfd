import {
  type FileOwner,
  onlyMachinesHaveDocker,
  type RuntimeDescription,
  unenforcedLimits,
} from "../contract/index.ts";
import type { EgressCapabilities } from "../egress/index.ts";
import { defaultHardening, type Hardening } from "../isolation/hardening.ts";
import { type EnforcedLimits, enforcedLimits } from "./engine-facts.ts";
import type { InfoReply, VersionReply } from "./engine-replies.ts";

const outOfReach =
  "Egress policies other than none can't be enforced: the engine's networks are not in the executor's network namespace.";

interface EgressFindings {
  readonly capabilities: EgressCapabilities;
  /** Whether the engine creates its bridges in the network namespace that our rules apply to. */
  readonly inReach: boolean;
}

/** What we found out about an engine by probing, beyond its own replies. */
export interface EngineFindings {
  readonly egress?: EgressFindings;
  /** Whether one set of limits covers all containers of a sandbox together. Default: no. */
  readonly sharesCgroup?: boolean;
  /** Whether the engine's file system can limit the size of a container's layer. Default: no. */
  readonly boundsLayers?: boolean;
  readonly hardening?: Hardening;
  readonly ociRuntime?: string | undefined;
  /** The host user that a container's root is mapped to. `null`: the user of this process. Default: `null`. */
  readonly checkoutOwner?: FileOwner | null;
  /** Notes on workspaces, for the description. Default: none. */
  readonly workspaceNotes?: readonly string[];
  /** Whether this process runs as root of the machine. Default: yes. */
  readonly isRoot?: boolean;
}

const notAsked: EgressFindings = {
  capabilities: { public: false, allow: false, ipv6: false, notes: [], linkNotes: [], guestProblem: null },
  inReach: false,
};

/** Describes what an engine with these replies enforces, and where its isolation is weaker than it could be. */
export function describeEngine(
  version: VersionReply,
  info: InfoReply,
  {
    egress: { capabilities, inReach } = notAsked,
    sharesCgroup = false,
    boundsLayers = false,
    hardening = defaultHardening,
    ociRuntime,
    checkoutOwner = null,
    workspaceNotes = [],
    isRoot = true,
  }: EngineFindings = {},
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
  const mapped = security.some((option) => /^name=(?:userns|rootless)/.test(option));
  if (!mapped) {
    notes.push(
      'Root in a container is root on the machine: set "userns-remap": "default" in the engine\'s daemon.json and restart it, or run it rootless.',
    );
  } else if (!hardening.userNamespace) {
    notes.push(
      "Root in a container is root on the machine: this executor is configured not to use the engine's user namespace.",
    );
  }
  if (ociRuntime !== undefined && !(ociRuntime in (info.Runtimes ?? {}))) {
    notes.push(
      `The engine has no runtime "${ociRuntime}", so no job will start: add it to "runtimes" in its daemon.json.`,
    );
  }
  if (!sharesCgroup) {
    notes.push(
      "Limits apply to each container, not to all containers of a job together. To limit them together, run the executor as root, with an engine that uses the cgroup driver cgroupfs.",
    );
  }
  if (!boundsLayers) {
    notes.push(
      "Disk use outside the workspace is only watched, so a step that exceeds its limit ends late. To enforce the limit at once, put the engine's data on XFS with pquota, on Btrfs or on ZFS.",
    );
  }
  if (!isRoot) {
    notes.push(
      "The executor is not root: it learns disk use from the engine, seconds late, and does not count files that a job hides from other users.",
    );
  }
  notes.push(...workspaceNotes);
  const egressNotes = capabilities.public && !inReach ? [outOfReach] : capabilities.notes;
  const canEnforce = capabilities.public && inReach;
  const limits = enforcedLimits(info);
  const limitsProblem = problemOfLimits(limits, security);
  if (limitsProblem !== null) notes.push(limitsProblem);
  return {
    checkoutOwner,
    version: version.Version,
    components: (version.Components ?? [])
      .filter(({ Name }) => Name === "runc" || Name === "containerd")
      .map(({ Name, Version }) => ({ name: Name, version: Version })),
    enforces: {
      ...limits,
      egressNone: true,
      egressPublic: canEnforce,
      egressAllow: capabilities.allow && inReach,
      disk: boundsLayers ? "file-system" : "watcher",
    },
    dockerProblem: onlyMachinesHaveDocker,
    hasHostImage: true,
    ...(limitsProblem === null ? {} : { limitsProblem }),
    ...(canEnforce || egressNotes[0] === undefined ? {} : { egressProblem: egressNotes[0] }),
    notes: [...notes, ...egressNotes],
  };
}

/** `null`: the engine enforces all limits. */
function problemOfLimits(enforces: EnforcedLimits, security: readonly string[]): string | null {
  const missing = unenforcedLimits({ enforces });
  if (missing.length === 0) return null;
  const step = security.some((option) => option.startsWith("name=rootless"))
    ? "Delegate these cgroup controllers to the user of the rootless engine (cgroup v2 with systemd), and restart the engine."
    : "Make these cgroup controllers writable on the engine's machine, and restart the engine.";
  return `The Docker engine can't enforce limits for ${missing.join(", ")}. ${step}`;
}

import type { RuntimeDescription } from "../contract.ts";
import type { InfoReply, VersionReply } from "./engine-replies.ts";

/** What an engine with these replies enforces, and what is weaker than it could be. */
export function describeEngine(version: VersionReply, info: InfoReply): RuntimeDescription {
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
      egressPublic: false,
      egressAllow: false,
    },
    notes,
  };
}

import type { InfoReply } from "./engine-replies.ts";

/** Facts from the engine's `/info` reply that decide how containers are created. */
export interface EngineFacts {
  readonly cpus: number;
  readonly limits: EnforcedLimits;
  /** Architecture of the engine's machine, spelled as in image manifests. `undefined` if the engine does not say. */
  readonly imageArchitecture: string | undefined;
  /** Architecture for seccomp profiles. `null` if the engine can't filter system calls. */
  readonly seccompArchitecture: NodeJS.Architecture | null;
  /** Host user and group that a container's root is mapped to. `null`: it is the host's root. */
  readonly remappedRoot: { readonly uid: number; readonly gid: number } | null;
  /**
   * The cgroup version, if containers can be put below a cgroup that we create, given by its path. Otherwise `null`.
   */
  readonly cgroupVersion: "v1" | "v2" | null;
  /** Whether the engine runs as an ordinary user of its machine. */
  readonly isRootless: boolean;
  readonly runtimes: readonly string[];
  /** Those of `runtimes` that run each container on its own kernel in user space (gVisor). */
  readonly userSpaceKernels: ReadonlySet<string>;
}

/** The limits that an engine's kernel enforces. */
export interface EnforcedLimits {
  readonly cpu: boolean;
  readonly memory: boolean;
  readonly pids: boolean;
}

export function enforcedLimits(info: InfoReply): EnforcedLimits {
  return { cpu: info.CpuCfsPeriod && info.CpuCfsQuota, memory: info.MemoryLimit, pids: info.PidsLimit };
}

const architectures: Readonly<Record<string, NodeJS.Architecture>> = {
  x86_64: "x64",
  aarch64: "arm64",
  riscv64: "riscv64",
};

/** From `uname -m` to the spelling of image manifests. Other architectures have the same name in both. */
const imageArchitectures: Readonly<Record<string, string>> = {
  x86_64: "amd64",
  aarch64: "arm64",
  armv7l: "arm",
  armv6l: "arm",
  i686: "386",
};

export function engineFacts(info: InfoReply): EngineFacts {
  const security = info.SecurityOptions ?? [];
  const filters = security.some((option) => option.startsWith("name=seccomp"));
  const rootless = security.some((option) => option.startsWith("name=rootless"));
  const byPath = info.CgroupDriver === "cgroupfs" && !rootless;
  return {
    cpus: info.NCPU,
    limits: enforcedLimits(info),
    imageArchitecture: info.Architecture && (imageArchitectures[info.Architecture] ?? info.Architecture),
    seccompArchitecture: filters ? (architectures[info.Architecture ?? ""] ?? null) : null,
    remappedRoot: security.some((option) => option.startsWith("name=userns"))
      ? remappedRoot(info.DockerRootDir ?? "")
      : null,
    cgroupVersion: byPath ? (info.CgroupVersion === "2" ? "v2" : "v1") : null,
    isRootless: rootless,
    runtimes: Object.keys(info.Runtimes ?? {}),
    userSpaceKernels: new Set(
      Object.entries(info.Runtimes ?? {})
        .filter(([name, { path = "" }]) => /runsc|gvisor/i.test(`${name} ${path}`))
        .map(([name]) => name),
    ),
  };
}

/**
 * Reads the mapped root user from the data directory: an engine that remaps users names that directory after user and
 * group.
 */
function remappedRoot(dataRoot: string): EngineFacts["remappedRoot"] {
  const [, uid, gid] = /\/(\d+)\.(\d+)\/?$/.exec(dataRoot) ?? [];
  return uid === undefined || gid === undefined ? null : { uid: Number(uid), gid: Number(gid) };
}

import type { ImageUser } from "../images/store/image-user.ts";
import type { Hardening } from "../isolation/hardening.ts";
import { hiddenPaths } from "../isolation/hidden-paths.ts";
import type { ProcessLimits } from "../isolation/process-limits.ts";
import { seccompProfile } from "../isolation/seccomp-profile.ts";
import type { ChannelDescriptor } from "./launcher.ts";
import { initCommand } from "./step-init.ts";

export interface BundlePlan {
  readonly rootfs: string;
  readonly hostname: string;
  readonly script: string;
  readonly workingDirectory: string;
  /** `NAME=VALUE`. */
  readonly env: readonly string[];
  readonly user: ImageUser;
  readonly workspaceDir: string;
  readonly scriptsDir: string;
  /** Mounted after everything else, for example the host's toolchain. */
  readonly extraMounts: readonly OciMount[];
  readonly network: BundleNetwork;
  /**
   * Relative to each hierarchy's mount point. `null` if the launcher already joined the cgroup, or there are no
   * cgroups.
   */
  readonly cgroupsPath: string | null;
  /** `null`: processes inherit them. */
  readonly limits: ProcessLimits | null;
  /** `null`: ids in the container are the host's ids. */
  readonly idMapping: IdMapping | null;
  readonly hardening: Omit<Hardening, "userNamespace">;
  /** Memory limit of the whole sandbox. */
  readonly memoryBytes: number;
  /** Size of `/dev/shm`. */
  readonly shmBytes: number;
  /** Where the first process finds its channel to the executor. */
  readonly channelDescriptor: ChannelDescriptor;
  /** Whether a kernel in user space, as gVisor's, stands between the step and the host's. */
  readonly hasOwnKernel: boolean;
}

/** The host ids to which the container's ids from 0 on are mapped. */
export interface IdMapping {
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  /** A user namespace with this mapping. `null`: the OCI runtime makes one. */
  readonly namespacePath: string | null;
}

export type BundleNetwork =
  /** A new network namespace with only a loopback interface. */
  | { readonly kind: "new" }
  /** The network namespace at a path. The OCI runtime joins it. */
  | { readonly kind: "join"; readonly path: string }
  /**
   * The network namespace of the process that starts the OCI runtime. It belongs to the host's user namespace, so its
   * `/sys` must be mounted before.
   */
  | { readonly kind: "inherited"; readonly sysfs: string | null };

export interface OciMount {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

/** A read-only bind mount of a host path at the same path in the container. Excludes mounts below it. */
export function readOnlyBind(path: string): OciMount {
  return { destination: path, type: "bind", source: path, options: ["bind", "ro", "nosuid", "nodev", "private"] };
}

/**
 * The `config.json` of one step: OCI runtime specification 1.0.
 * https://github.com/opencontainers/runtime-spec/blob/v1.0.2/config.md
 */
export function bundleConfig(plan: BundlePlan): object {
  const { hardening, idMapping, network } = plan;
  const capabilities = hardening.capabilities.map((name) => `CAP_${name}`);
  // As in Docker, users other than root start without capabilities. The bounding set keeps setuid programs working.
  const isRoot = plan.user.uid === 0;
  const held = isRoot ? capabilities : [];
  return {
    ociVersion: "1.0.2",
    root: { path: plan.rootfs, readonly: hardening.readOnlyRoot },
    hostname: plan.hostname,
    process: {
      terminal: false,
      user: { uid: plan.user.uid, gid: plan.user.gid, additionalGids: plan.user.additionalGids },
      args: initCommand(plan),
      env: plan.env,
      cwd: isRoot ? plan.workingDirectory : "/data",
      capabilities: { bounding: capabilities, effective: held, permitted: held, inheritable: [], ambient: [] },
      noNewPrivileges: hardening.noNewPrivileges,
      // When memory runs out, the kernel should kill the job's processes before the OCI runtime that waits for them.
      oomScoreAdj: 500,
      rlimits: plan.limits ? limitsOf(plan.limits) : [],
    },
    mounts: [...systemMounts(plan), ...writablePlaces(plan), ...workMounts(plan), ...plan.extraMounts],
    linux: {
      namespaces: [
        { type: "pid" },
        { type: "ipc" },
        { type: "uts" },
        { type: "mount" },
        { type: "cgroup" },
        ...(idMapping ? [userNamespace(idMapping)] : []),
        ...(network.kind === "new" ? [{ type: "network" }] : []),
        ...(network.kind === "join" ? [{ type: "network", path: network.path }] : []),
      ],
      ...(idMapping
        ? {
            uidMappings: [{ containerID: 0, hostID: idMapping.uid, size: idMapping.size }],
            gidMappings: [{ containerID: 0, hostID: idMapping.gid, size: idMapping.size }],
          }
        : {}),
      ...(network.kind === "inherited" ? {} : { sysctl: openNetwork(idMapping) }),
      ...(plan.cgroupsPath === null ? {} : { cgroupsPath: plan.cgroupsPath }),
      ...(hardening.seccomp ? { seccomp: seccompProfile(process.arch) } : {}),
      ...(hardening.maskedPaths ? hidden : {}),
    },
  };
}

function limitsOf({ maxOpenFiles, pendingSignals, messageQueueBytes }: ProcessLimits): readonly object[] {
  const limits = {
    RLIMIT_NOFILE: maxOpenFiles,
    RLIMIT_CORE: 0,
    RLIMIT_SIGPENDING: pendingSignals,
    RLIMIT_MSGQUEUE: messageQueueBytes,
  };
  return Object.entries(limits).map(([type, value]) => ({ type, soft: value, hard: value }));
}

function userNamespace({ namespacePath }: IdMapping): object {
  return namespacePath === null ? { type: "user" } : { type: "user", path: namespacePath };
}

/** Includes the cgroups, which Docker shows read-only. */
const hidden = {
  maskedPaths: [...hiddenPaths.maskedPaths, "/sys/fs/cgroup"],
  readonlyPaths: hiddenPaths.readonlyPaths,
};

/** As in Docker, listening below port 1024 and ping need no capability, since no other sandbox is in this network. */
function openNetwork(idMapping: IdMapping | null): object {
  const groups = idMapping?.size ?? 2 ** 31;
  return { "net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": `0 ${groups - 1}` };
}

const inert = ["nosuid", "noexec", "nodev"];

function systemMounts({ idMapping, network, hardening, shmBytes }: BundlePlan): readonly OciMount[] {
  // The group tty is not mapped if only root is.
  const hasTerminalGroup = idMapping === null || idMapping.size > 5;
  const terminals = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"];
  const access = hardening.maskedPaths ? "ro" : "rw";
  return [
    { destination: "/proc", type: "proc", source: "proc", options: inert },
    // Pages of these file systems count as the job's memory. The number of their files needs an explicit limit.
    {
      destination: "/dev",
      type: "tmpfs",
      source: "tmpfs",
      options: ["nosuid", "strictatime", "mode=755", "size=65536k", "nr_inodes=8192"],
    },
    {
      destination: "/dev/pts",
      type: "devpts",
      source: "devpts",
      options: [...terminals, ...(hasTerminalGroup ? ["gid=5"] : [])],
    },
    {
      destination: "/dev/shm",
      type: "tmpfs",
      source: "shm",
      options: [...inert, "mode=1777", `size=${shmBytes}`, "nr_inodes=8192"],
    },
    { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: inert },
    network.kind === "inherited" && network.sysfs !== null
      ? { destination: "/sys", type: "bind", source: network.sysfs, options: ["bind", ...inert, "ro", "private"] }
      : { destination: "/sys", type: "sysfs", source: "sysfs", options: [...inert, access] },
  ];
}

/**
 * Directories that programs expect to be writable, for a read-only root file system. Their pages count as the job's
 * memory.
 */
function writablePlaces({ hardening, memoryBytes }: BundlePlan): readonly OciMount[] {
  if (!hardening.readOnlyRoot) return [];
  const options = ["nosuid", "nodev", `size=${memoryBytes}`, "nr_inodes=1m"];
  return [
    { destination: "/tmp", type: "tmpfs", source: "tmpfs", options: [...options, "mode=1777"] },
    { destination: "/run", type: "tmpfs", source: "tmpfs", options: [...options, "mode=755"] },
  ];
}

function workMounts(plan: BundlePlan): readonly OciMount[] {
  return [
    {
      destination: "/data",
      type: "bind",
      source: plan.workspaceDir,
      options: ["bind", "rw", "nosuid", "nodev", "private"],
    },
    {
      destination: "/airlock",
      type: "bind",
      source: plan.scriptsDir,
      options: ["bind", "ro", "nosuid", "nodev", "private"],
    },
  ];
}

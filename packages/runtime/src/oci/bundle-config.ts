import type { ImageUser } from "../images/store/image-user.ts";
import type { Hardening } from "../isolation/hardening.ts";
import { hiddenPaths } from "../isolation/hidden-paths.ts";
import { seccompProfile } from "../isolation/seccomp-profile.ts";

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
  /** Mounted after everything else, e.g. the host's tool chain. */
  readonly extraMounts: readonly OciMount[];
  readonly network: BundleNetwork;
  /** Below every hierarchy's mount point; `null` where the launcher has joined the cgroup already, or there is none. */
  readonly cgroupsPath: string | null;
  readonly maxOpenFiles: number;
  /** `null`: ids in the container are those of the host. */
  readonly idMapping: IdMapping | null;
  readonly hardening: Omit<Hardening, "userNamespace">;
  /** Of the whole sandbox. */
  readonly memoryBytes: number;
  /** Size of `/dev/shm`. */
  readonly shmBytes: number;
  /** Whether a kernel in user space, as gVisor's, stands between the step and the host's. */
  readonly hasOwnKernel: boolean;
}

/** Host ids that the container's 0 and those after it stand for. */
export interface IdMapping {
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
}

export type BundleNetwork =
  /** One of its own, with nothing but a loopback. */
  | { readonly kind: "new" }
  /** That at a path, joined by the OCI runtime. */
  | { readonly kind: "join"; readonly path: string }
  /** That of whoever starts the OCI runtime. It belongs to the host's user namespace, so its `/sys` is mounted before, too. */
  | { readonly kind: "inherited"; readonly sysfs: string | null };

export interface OciMount {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

/** A path of the host at the same place in the container, without what is mounted below it. */
export function readOnlyBind(path: string): OciMount {
  return { destination: path, type: "bind", source: path, options: ["bind", "ro", "nosuid", "nodev", "private"] };
}

/**
 * The first process of the step, which ends with its script: kernel and programs treat process 1 unlike any other, so the
 * script is its child. A shell that waits reaps whatever else becomes its child: no daemon leaves zombies.
 *
 * A working directory that the OCI runtime made would be root's, so other users make their own.
 */
function initCommand({ user, hasOwnKernel, script, workingDirectory }: BundlePlan): readonly string[] {
  // Outside of Linux, process 1 is not spared by signals that it has no handler for.
  const staying = hasOwnKernel ? "trap : TERM; " : "";
  const going = user.uid === 0 ? "" : '[ -d "$1" ] || mkdir -p "$1"; cd "$1" || exit 126; ';
  return ["/bin/sh", "-c", `${staying}${going}/bin/sh "$0"; exit $?`, script, workingDirectory];
}

/**
 * The `config.json` of one step: OCI runtime specification 1.0.
 * https://github.com/opencontainers/runtime-spec/blob/v1.0.2/config.md
 */
export function bundleConfig(plan: BundlePlan): object {
  const { hardening, idMapping, network } = plan;
  const capabilities = hardening.capabilities.map((name) => `CAP_${name}`);
  // As with Docker, a user other than root starts without capabilities; the bounding set keeps setuid helpers working.
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
      // The job's processes go first when memory runs out, not the OCI runtime that waits for them.
      oomScoreAdj: 500,
      rlimits: [
        { type: "RLIMIT_NOFILE", soft: plan.maxOpenFiles, hard: plan.maxOpenFiles },
        { type: "RLIMIT_CORE", soft: 0, hard: 0 },
      ],
    },
    mounts: [...systemMounts(plan), ...writablePlaces(plan), ...workMounts(plan), ...plan.extraMounts],
    linux: {
      namespaces: [
        { type: "pid" },
        { type: "ipc" },
        { type: "uts" },
        { type: "mount" },
        { type: "cgroup" },
        ...(idMapping ? [{ type: "user" }] : []),
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

/** With the cgroups, which Docker shows read-only. */
const hidden = {
  maskedPaths: [...hiddenPaths.maskedPaths, "/sys/fs/cgroup"],
  readonlyPaths: hiddenPaths.readonlyPaths,
};

/** As in Docker: listening below 1024 and pinging need no capability, since nobody else is in this network. */
function openNetwork(idMapping: IdMapping | null): object {
  const groups = idMapping?.size ?? 2 ** 31;
  return { "net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": `0 ${groups - 1}` };
}

const inert = ["nosuid", "noexec", "nodev"];

function systemMounts({ idMapping, network, hardening, shmBytes }: BundlePlan): readonly OciMount[] {
  // The group tty is not mapped where only root is.
  const hasTerminalGroup = idMapping === null || idMapping.size > 5;
  const terminals = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"];
  const access = hardening.maskedPaths ? "ro" : "rw";
  return [
    { destination: "/proc", type: "proc", source: "proc", options: inert },
    // Their pages count as the job's memory; so that the number of their files is bounded too, it is said.
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

/** What programs write without asking, where the root file system is read-only; its pages count as the job's memory. */
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

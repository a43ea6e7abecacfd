import { defaultCapabilities } from "../hardening.ts";
import type { ImageUser } from "./images/image-user.ts";
import { seccompProfile } from "./seccomp-profile.ts";

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
  readonly networkNamespace: string | null;
  /** Below every hierarchy's mount point; `null` where the launcher has joined the cgroup already, or there is none. */
  readonly cgroupsPath: string | null;
  readonly maxOpenFiles: number;
  /** Who we are on the host where that is not root: then the container's root is mapped to it, and nobody else is. */
  readonly rootless: { readonly uid: number; readonly gid: number } | null;
}

export interface OciMount {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

const capabilities = defaultCapabilities.map((name) => `CAP_${name}`);

/**
 * The `config.json` of one step: OCI runtime specification 1.0.
 * https://github.com/opencontainers/runtime-spec/blob/v1.0.2/config.md
 */
export function bundleConfig(plan: BundlePlan): object {
  // As with Docker, a user other than root starts without capabilities; the bounding set keeps setuid helpers working.
  const held = plan.user.uid === 0 ? capabilities : [];
  return {
    ociVersion: "1.0.2",
    root: { path: plan.rootfs, readonly: false },
    hostname: plan.hostname,
    process: {
      terminal: false,
      user: { uid: plan.user.uid, gid: plan.user.gid, additionalGids: plan.user.additionalGids },
      args: ["/bin/sh", plan.script],
      env: plan.env,
      cwd: plan.workingDirectory,
      capabilities: { bounding: capabilities, effective: held, permitted: held, inheritable: [], ambient: [] },
      noNewPrivileges: true,
      // The job's processes go first when memory runs out, not the OCI runtime that waits for them.
      oomScoreAdj: 500,
      rlimits: [
        { type: "RLIMIT_NOFILE", soft: plan.maxOpenFiles, hard: plan.maxOpenFiles },
        { type: "RLIMIT_CORE", soft: 0, hard: 0 },
      ],
    },
    mounts: [...systemMounts(plan), ...workMounts(plan), ...plan.extraMounts],
    linux: {
      namespaces: [
        { type: "pid" },
        { type: "ipc" },
        { type: "uts" },
        { type: "mount" },
        { type: "cgroup" },
        ...(plan.rootless ? [{ type: "user" }] : []),
        plan.networkNamespace === null ? { type: "network" } : { type: "network", path: plan.networkNamespace },
      ],
      ...(plan.rootless
        ? {
            uidMappings: [{ containerID: 0, hostID: plan.rootless.uid, size: 1 }],
            gidMappings: [{ containerID: 0, hostID: plan.rootless.gid, size: 1 }],
          }
        : {}),
      ...(plan.cgroupsPath === null ? {} : { cgroupsPath: plan.cgroupsPath }),
      seccomp: seccompProfile(process.arch),
      maskedPaths: [
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
        "/sys/fs/cgroup",
      ],
      readonlyPaths: ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    },
  };
}

function systemMounts({ rootless }: BundlePlan): readonly OciMount[] {
  // The group tty is not mapped where only root is.
  const terminals = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", ...(rootless ? [] : ["gid=5"])];
  const inert = ["nosuid", "noexec", "nodev"];
  return [
    { destination: "/proc", type: "proc", source: "proc", options: inert },
    {
      destination: "/dev",
      type: "tmpfs",
      source: "tmpfs",
      options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
    },
    { destination: "/dev/pts", type: "devpts", source: "devpts", options: terminals },
    { destination: "/dev/shm", type: "tmpfs", source: "shm", options: [...inert, "mode=1777", "size=65536k"] },
    { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: inert },
    { destination: "/sys", type: "sysfs", source: "sysfs", options: [...inert, "ro"] },
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

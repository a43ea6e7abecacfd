import { readFile } from "node:fs/promises";
import type { InfoReply } from "./engine-replies.ts";

/** What an engine says of itself that decides how containers are made. Pure. */
export interface EngineFacts {
  readonly cpus: number;
  /** Of the engine's machine, in the words of image manifests; `undefined`: it does not say. */
  readonly imageArchitecture: string | undefined;
  /** `null` where the engine can't filter system calls. */
  readonly seccompArchitecture: NodeJS.Architecture | null;
  /** The user and group of the machine that root of its containers is; `null`: root itself. */
  readonly remappedRoot: { readonly uid: number; readonly gid: number } | null;
  /** Whether containers may be put below a cgroup of ours by its path. */
  readonly cgroupVersion: "v1" | "v2" | null;
  readonly runtimes: readonly string[];
  /** Those of them that run containers on a kernel of their own, in user space. */
  readonly userSpaceKernels: ReadonlySet<string>;
}

const architectures: Readonly<Record<string, NodeJS.Architecture>> = {
  x86_64: "x64",
  aarch64: "arm64",
  riscv64: "riscv64",
};

/** From what `uname -m` says; the others have the same name in both. */
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
    imageArchitecture: info.Architecture && (imageArchitectures[info.Architecture] ?? info.Architecture),
    seccompArchitecture: filters ? (architectures[info.Architecture ?? ""] ?? null) : null,
    remappedRoot: security.some((option) => option.startsWith("name=userns"))
      ? remappedRoot(info.DockerRootDir ?? "")
      : null,
    cgroupVersion: byPath ? (info.CgroupVersion === "2" ? "v2" : "v1") : null,
    runtimes: Object.keys(info.Runtimes ?? {}),
    userSpaceKernels: new Set(
      Object.entries(info.Runtimes ?? {})
        .filter(([name, { path = "" }]) => /runsc|gvisor/i.test(`${name} ${path}`))
        .map(([name]) => name),
    ),
  };
}

/** An engine that remaps users keeps its data apart for each mapping, in a directory named after it. */
function remappedRoot(dataRoot: string): EngineFacts["remappedRoot"] {
  const [, uid, gid] = /\/(\d+)\.(\d+)\/?$/.exec(dataRoot) ?? [];
  return uid === undefined || gid === undefined ? null : { uid: Number(uid), gid: Number(gid) };
}

/**
 * How many files a process of a step may hold open. An engine without CAP_SYS_RESOURCE gives no more than it has itself;
 * this process's own bound is the best guess at that.
 */
export async function openFilesLimit(): Promise<number> {
  const line = /^Max open files\s+\S+\s+(\S+)/m.exec(await readFile("/proc/self/limits", "utf8"));
  const hard = Number(line?.[1]);
  return Number.isFinite(hard) ? Math.min(hard, mostOpenFiles) : mostOpenFiles;
}

const mostOpenFiles = 1 << 20;

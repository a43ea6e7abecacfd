import { writeFileSync } from "node:fs";
import { access, constants, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { SandboxLimits } from "../../contract/index.ts";
import { errorCode } from "../error-code.ts";
import { type MountPoint, readMounts } from "../mounts.ts";
import { Cgroup, limitSocketBuffers } from "./cgroup.ts";

/** All our cgroups are below this one, at the top of each hierarchy: `airlock/OWNER/SANDBOX/STEP`. */
const top = "airlock";

/** The cgroup hierarchies of this machine, and which limits they can enforce. */
export interface CgroupHost {
  /** `none`: not mounted, or not writable for this user. */
  readonly mode: "v1" | "v2" | "none";
  readonly enforces: { readonly cpu: boolean; readonly memory: boolean; readonly pids: boolean };
  /** Why a limit can't be enforced and what to do, in sentences; `null` if all can. */
  readonly problem: string | null;
  /** Whether memory limits include swap. */
  readonly countsSwap: boolean;
  /**
   * Where crun must find an empty file system, because it refuses to run otherwise: at mount points of cgroup2 beside
   * v1 controllers, and at the usual place of cgroups if none are mounted.
   */
  readonly hiddenFromCrun: readonly string[];
  /** Creates the cgroup of a sandbox with its limits. `undefined` if the mode is `none`. */
  create(owner: string, sandbox: string, limits: SandboxLimits): Promise<Cgroup | undefined>;
  /** Opens the cgroup of a sandbox. It need not exist any more. */
  open(owner: string, sandbox: string): Cgroup;
  /** Lists the sandboxes of an owner that have a cgroup. */
  list(owner: string): Promise<ReadonlySet<string>>;
}

export async function findCgroupHost(): Promise<CgroupHost> {
  const mounts = await readMounts();
  return openCgroupHost(mounts);
}

const limitControllers = ["memory", "cpu", "pids"] as const;

/** Like {@link findCgroupHost}, for tests that provide their own mounts. */
export async function openCgroupHost(mounts: readonly MountPoint[]): Promise<CgroupHost> {
  const v1 = mounts.filter((mount) => mount.fsType === "cgroup");
  const v2 = mounts.filter((mount) => mount.fsType === "cgroup2").map((mount) => mount.path);
  const controllers = new Map<string, string>();
  const problems: string[] = [];
  for (const name of limitControllers) {
    const found = v1.find((mount) => mount.superOptions.includes(name));
    const problem = found ? await problemOfWriting(found.path) : `the cgroup controller ${name} is not mounted`;
    if (problem !== null) problems.push(problem);
    else if (found) controllers.set(name, found.path);
  }
  // Limits nothing, but counts processor time.
  const counter = v1.find((mount) => mount.superOptions.includes("cpuacct"));
  if (controllers.size > 0 && counter && (await problemOfWriting(counter.path)) === null) {
    controllers.set("cpuacct", counter.path);
  }
  const everywhere = [...new Set([...v1.map((mount) => mount.path), ...v2])];
  if (controllers.size > 0) return v1Host(controllers, { everywhere, hiddenFromCrun: v2, problems });

  const unified = v1.length === 0 ? v2[0] : undefined;
  const unifiedProblem = unified === undefined ? null : await problemOfWriting(unified);
  if (unified !== undefined && unifiedProblem === null) return await v2Host(unified);
  if (everywhere.length === 0) problems.splice(0, Infinity, "no cgroup file system is mounted");
  return {
    mode: "none",
    enforces: { cpu: false, memory: false, pids: false },
    problem: explained(unifiedProblem === null ? problems : [unifiedProblem]),
    countsSwap: false,
    hiddenFromCrun: everywhere.length === 0 ? ["/sys/fs/cgroup"] : v1.length > 0 ? v2 : [],
    create: async () => undefined,
    open: (owner, sandbox) => new Cgroup({ path: join("/", top, owner, sandbox), hierarchies: [], everywhere: [] }),
    list: async () => new Set(),
  };
}

async function v1Host(
  controllers: ReadonlyMap<string, string>,
  {
    everywhere,
    hiddenFromCrun,
    problems,
  }: {
    readonly everywhere: readonly string[];
    readonly hiddenFromCrun: readonly string[];
    readonly problems: readonly string[];
  },
): Promise<CgroupHost> {
  const memory = controllers.get("memory");
  const cpu = controllers.get("cpu");
  const pids = controllers.get("pids");
  const countsSwap = memory !== undefined && (await exists(join(memory, "memory.memsw.limit_in_bytes")));
  const hierarchies = [...new Set(controllers.values())];
  const open = (owner: string, sandbox: string) =>
    new Cgroup({
      path: join("/", top, owner, sandbox),
      hierarchies,
      everywhere,
      ...(memory ? { v1Memory: memory } : {}),
    });
  return {
    mode: "v1",
    enforces: { cpu: cpu !== undefined, memory: memory !== undefined, pids: pids !== undefined },
    problem: explained(problems),
    countsSwap,
    hiddenFromCrun,
    open,
    list: (owner) => listBelow(everywhere, owner),
    async create(owner, sandbox, limits) {
      const cgroup = open(owner, sandbox);
      await cgroup.make();
      const set = (root: string, file: string, value: string) => writeFileSync(join(root, cgroup.path, file), value);
      if (memory) {
        set(memory, "memory.limit_in_bytes", String(limits.memoryBytes));
        if (countsSwap) set(memory, "memory.memsw.limit_in_bytes", String(limits.memoryBytes));
        limitSocketBuffers(join(memory, cgroup.path), socketBufferBytes(limits.memoryBytes));
      }
      if (cpu) {
        set(cpu, "cpu.cfs_period_us", String(cpuPeriodUs));
        set(cpu, "cpu.cfs_quota_us", String(cpuQuotaUs(limits.cpus)));
      }
      if (pids) set(pids, "pids.max", String(limits.pids + ownProcesses));
      return cgroup;
    },
  };
}

/**
 * Limit of the kernel's memory for a sandbox's TCP connections and datagrams. cgroup v1 counts it separately, and only
 * if it has a limit. It comes on top of the sandbox's memory limit.
 */
function socketBufferBytes(memoryBytes: number): number {
  return Math.ceil(memoryBytes / 4);
}

async function v2Host(root: string): Promise<CgroupHost> {
  const present = (await readFile(join(root, "cgroup.controllers"), "utf8")).trim().split(/\s+/);
  const enabled = new Set<string>();
  const problems: string[] = [];
  for (const name of limitControllers) {
    const failure = present.includes(name) ? await enable(root, name) : undefined;
    if (failure === null) enabled.add(name);
    else if (failure === undefined) problems.push(`${root} does not offer the cgroup controller ${name}`);
    else problems.push(`the cgroup controller ${name} can't be enabled in ${root} (${failure})`);
  }
  const open = (owner: string, sandbox: string) =>
    new Cgroup({ path: join("/", top, owner, sandbox), hierarchies: [root], everywhere: [root] });
  return {
    mode: "v2",
    enforces: { cpu: enabled.has("cpu"), memory: enabled.has("memory"), pids: enabled.has("pids") },
    problem: explained(problems),
    countsSwap: true,
    hiddenFromCrun: [],
    open,
    list: (owner) => listBelow([root], owner),
    async create(owner, sandbox, limits) {
      const cgroup = open(owner, sandbox);
      await cgroup.make();
      for (const parent of [join(root, top), join(root, top, owner), join(root, cgroup.path)]) {
        for (const name of enabled) await enable(parent, name);
      }
      const set = (file: string, value: string) => writeFile(join(root, cgroup.path, file), value);
      if (enabled.has("memory")) {
        await set("memory.max", String(limits.memoryBytes));
        // Our limit is for memory and swap together. v2 limits them separately, so disable swap.
        await set("memory.swap.max", "0").catch((error: unknown) => {
          if (errorCode(error) !== "ENOENT") throw error;
        });
      }
      if (enabled.has("cpu")) await set("cpu.max", `${cpuQuotaUs(limits.cpus)} ${cpuPeriodUs}`);
      if (enabled.has("pids")) await set("pids.max", String(limits.pids + ownProcesses));
      return cgroup;
    },
  };
}

/**
 * Processes in the sandbox's cgroup that don't count towards the job's limit: the launcher, the OCI runtime that it waits
 * for, the container's init, and one more launcher, which waits to start the next step or still exits after the last one.
 */
const ownProcesses = 4;
const cpuPeriodUs = 100_000;

function cpuQuotaUs(cpus: number): number {
  // The kernel refuses quotas below one millisecond.
  return Math.max(1000, Math.round(cpus * cpuPeriodUs));
}

/**
 * Enables a controller for the cgroups below. Resolves to `null`, or to the code of the error that says why it can't be
 * enabled. EBUSY: this cgroup has processes itself, like the top one of a container, so it can't delegate controllers.
 */
async function enable(directory: string, controller: string): Promise<string | null> {
  try {
    await writeFile(join(directory, "cgroup.subtree_control"), `+${controller}`);
    return null;
  } catch (error) {
    const code = errorCode(error) ?? "";
    if (["EBUSY", "EACCES", "EPERM", "EROFS", "ENOENT", "EINVAL"].includes(code)) return code;
    throw error;
  }
}

/** `null`: this process may write there. access(2) detects read-only mounts even for root. */
async function problemOfWriting(mount: string): Promise<string | null> {
  try {
    await access(mount, constants.W_OK);
    return null;
  } catch (error) {
    const code = errorCode(error);
    if (code === "EROFS") return `${mount} is mounted read-only`;
    return `${mount} is not writable for this user (${code})`;
  }
}

function explained(problems: readonly string[]): string | null {
  if (problems.length === 0) return null;
  return (
    `Limits can't be enforced because ${problems.join(", and ")}. ` +
    "Run the executor as root where it can write to the host's cgroups; `ip netns exec` hides them."
  );
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

async function listBelow(roots: readonly string[], owner: string): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  for (const root of roots) {
    try {
      for (const entry of await readdir(join(root, top, owner), { withFileTypes: true })) {
        if (entry.isDirectory()) found.add(entry.name);
      }
    } catch (error) {
      if (errorCode(error) !== "ENOENT") throw error;
    }
  }
  return found;
}

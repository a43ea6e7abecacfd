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
  /** Whether memory limits include swap. */
  readonly countsSwap: boolean;
  /** Mount points of cgroup2 beside v1 controllers. crun refuses to run if it sees one. */
  readonly hybridMounts: readonly string[];
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

const v1Controllers = ["memory", "cpu", "pids"] as const;

/** Like {@link findCgroupHost}, for tests that provide their own mounts. */
export async function openCgroupHost(mounts: readonly MountPoint[]): Promise<CgroupHost> {
  const v1 = mounts.filter((mount) => mount.fsType === "cgroup");
  const v2 = mounts.filter((mount) => mount.fsType === "cgroup2").map((mount) => mount.path);
  const controllers = new Map<string, string>();
  for (const name of v1Controllers) {
    const found = v1.find((mount) => mount.superOptions.includes(name));
    if (found && (await isWritable(found.path))) controllers.set(name, found.path);
  }
  const everywhere = [...new Set([...v1.map((mount) => mount.path), ...v2])];
  if (controllers.size > 0) return v1Host(controllers, everywhere, v2);

  const unified = v1.length === 0 ? v2[0] : undefined;
  if (unified !== undefined && (await isWritable(unified))) return await v2Host(unified);
  return {
    mode: "none",
    enforces: { cpu: false, memory: false, pids: false },
    countsSwap: false,
    hybridMounts: v1.length > 0 ? v2 : [],
    create: async () => undefined,
    open: (owner, sandbox) => new Cgroup({ path: join("/", top, owner, sandbox), hierarchies: [], everywhere: [] }),
    list: async () => new Set(),
  };
}

async function v1Host(
  controllers: ReadonlyMap<string, string>,
  everywhere: readonly string[],
  hybridMounts: readonly string[],
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
    countsSwap,
    hybridMounts,
    open,
    list: (owner) => listBelow(everywhere, owner),
    async create(owner, sandbox, limits) {
      const cgroup = open(owner, sandbox);
      await cgroup.make();
      const set = (root: string, file: string, value: string) => writeFile(join(root, cgroup.path, file), value);
      if (memory) {
        await set(memory, "memory.limit_in_bytes", String(limits.memoryBytes));
        if (countsSwap) await set(memory, "memory.memsw.limit_in_bytes", String(limits.memoryBytes));
        await limitSocketBuffers(join(memory, cgroup.path), socketBufferBytes(limits.memoryBytes));
      }
      if (cpu) {
        await set(cpu, "cpu.cfs_period_us", String(cpuPeriodUs));
        await set(cpu, "cpu.cfs_quota_us", String(cpuQuotaUs(limits.cpus)));
      }
      if (pids) await set(pids, "pids.max", String(limits.pids + ownProcesses));
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
  const wanted = ["memory", "cpu", "pids"];
  const present = (await readFile(join(root, "cgroup.controllers"), "utf8")).trim().split(/\s+/);
  const enabled = new Set<string>();
  for (const name of wanted) {
    if (present.includes(name) && (await enable(root, name))) enabled.add(name);
  }
  const open = (owner: string, sandbox: string) =>
    new Cgroup({ path: join("/", top, owner, sandbox), hierarchies: [root], everywhere: [root] });
  return {
    mode: "v2",
    enforces: { cpu: enabled.has("cpu"), memory: enabled.has("memory"), pids: enabled.has("pids") },
    countsSwap: true,
    hybridMounts: [],
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
 * Processes in the sandbox's cgroup that don't count towards the job's limit: the OCI runtime that waits for its
 * container, the init, and the process that waits to start the next step.
 */
const ownProcesses = 3;
const cpuPeriodUs = 100_000;

function cpuQuotaUs(cpus: number): number {
  // The kernel refuses quotas below one millisecond.
  return Math.max(1000, Math.round(cpus * cpuPeriodUs));
}

/**
 * Enables a controller for the cgroups below. EBUSY: this cgroup has processes itself, like the top one of a container,
 * so it can't delegate controllers.
 */
async function enable(directory: string, controller: string): Promise<boolean> {
  try {
    await writeFile(join(directory, "cgroup.subtree_control"), `+${controller}`);
    return true;
  } catch (error) {
    if (["EBUSY", "EACCES", "EPERM", "EROFS", "ENOENT", "EINVAL"].includes(errorCode(error) ?? "")) return false;
    throw error;
  }
}

/** access(2) detects read-only mounts even for root. */
async function isWritable(mount: string): Promise<boolean> {
  return access(mount, constants.W_OK).then(
    () => true,
    () => false,
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

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdir, rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { runtimeFailed } from "../../contract/index.ts";
import { errorCode } from "../error-code.ts";
import type { MemoryState } from "./starvation.ts";

export interface CgroupOptions {
  /** Path below every hierarchy's mount point, e.g. `/airlock/OWNER/SANDBOX`. */
  readonly path: string;
  /** Mount points of the hierarchies that we use. */
  readonly hierarchies: readonly string[];
  /** Mount points of all hierarchies. OCI runtimes create cgroups of the same path in the others too. */
  readonly everywhere: readonly string[];
  /** Mount point of the v1 memory controller. Absent on v2. */
  readonly v1Memory?: string;
  /** Whether this is the cgroup of a step within its sandbox's. */
  readonly isWithin?: boolean;
}

/** The kernel charges memory in batches per processor, so usage stops slightly below the limit. */
const chargeSlackBytes = 2 ** 20;

/**
 * One cgroup with the same path in each hierarchy. On v1 it is several directories, on v2 one.
 *
 * Files are read and written synchronously. The kernel answers from memory, while Node's thread pool makes several
 * round trips for each file, and a step reads a dozen of them. Directories may wait for other cgroups, so they are
 * made and removed in the pool.
 */
export class Cgroup {
  readonly #options: CgroupOptions;
  #killedForMemory = 0;

  constructor(options: CgroupOptions) {
    this.#options = options;
  }

  get path(): string {
    return this.#options.path;
  }

  /** A process that writes `0` into each of these files joins this cgroup, together with all its later children. */
  get joinFiles(): readonly string[] {
    return this.#options.hierarchies.map((root) => join(root, this.path, "cgroup.procs"));
  }

  child(name: string): Cgroup {
    return new Cgroup({ ...this.#options, path: join(this.path, name), isWithin: true });
  }

  async make(): Promise<void> {
    const { hierarchies, isWithin } = this.#options;
    for (const root of hierarchies) await makeDirectory(join(root, this.path));
    if (isWithin) {
      await this.countSocketBuffers();
      return;
    }
    // Otherwise an OCI runtime would create the directory there, and race with the end of another sandbox that removes
    // an empty parent.
    for (const root of this.#options.everywhere) {
      await makeDirectory(join(root, this.path)).catch((error: unknown) => {
        if (!["EACCES", "EPERM", "EROFS"].includes(errorCode(error) ?? "")) throw error;
      });
    }
  }

  /**
   * Makes the memory of sockets that are opened from now on count towards the sandbox's limit. On cgroup v1 that
   * requires a limit on the cgroup, even an unlimited one. On v2 it always counts.
   */
  async countSocketBuffers(): Promise<void> {
    const { v1Memory } = this.#options;
    if (v1Memory !== undefined) limitSocketBuffers(join(v1Memory, this.path), "unlimited");
  }

  /** Number of processes in this cgroup and below that the kernel, or {@link killLargest}, killed for lack of memory. */
  async oomKills(): Promise<number> {
    const v1 = this.#options.v1Memory;
    let kills = this.#killedForMemory;
    if (v1 === undefined) {
      for (const root of this.#options.hierarchies) kills += readCounter(join(root, this.path, "memory.events"));
      return kills;
    }
    // v1 counts only in the victim's own cgroup.
    for (const directory of this.#directories(v1)) kills += readCounter(join(directory, "memory.oom_control"));
    return kills;
  }

  /**
   * Whether memory use of this cgroup and below ever reached this limit. Unlike the kill counters, this survives the
   * removal of the cgroups below.
   */
  async reachedMemory(limitBytes: number): Promise<boolean> {
    const v1 = this.#options.v1Memory;
    if (v1 === undefined) return this.#sumOf("memory.events", /^max (\d+)$/m) > 0;
    const most = Number(readIfThere(join(v1, this.path, "memory.max_usage_in_bytes")));
    return most > 0 && most >= limitBytes - chargeSlackBytes;
  }

  /** How often the kernel refused a new process: on v1 in this cgroup, on v2 also below. Only grows. */
  async refusedForks(): Promise<number> {
    return this.#sumOf("pids.events", /^max (\d+)$/m);
  }

  /**
   * Milliseconds that processes of this cgroup and below were throttled because their CPU quota was used up. Only
   * grows.
   */
  async throttledMs(): Promise<number> {
    // v1 reports nanoseconds, v2 microseconds.
    const nanoseconds = this.#sumOf("cpu.stat", /^throttled_time (\d+)$/m);
    return nanoseconds / 1e6 + this.#sumOf("cpu.stat", /^throttled_usec (\d+)$/m) / 1e3;
  }

  /** Processor time of this cgroup and below, in ms. `undefined`: no hierarchy counts it. */
  cpuMs(): number | undefined {
    for (const root of this.#options.hierarchies) {
      // v1 reports nanoseconds, v2 microseconds.
      const nanoseconds = readIfThere(join(root, this.path, "cpuacct.usage"));
      if (nanoseconds !== "") return Number(nanoseconds) / 1e6;
      const microseconds = /^usage_usec (\d+)$/m.exec(readIfThere(join(root, this.path, "cpu.stat")))?.[1];
      if (microseconds !== undefined) return Number(microseconds) / 1e3;
    }
    return undefined;
  }

  /**
   * Memory of this cgroup and below without cached files that the kernel drops first. The rest is what leads to the
   * limit.
   */
  memoryBytes(): number | undefined {
    const v1 = this.#options.v1Memory;
    const roots = v1 === undefined ? this.#options.hierarchies : [v1];
    const [used, cached] =
      v1 === undefined
        ? (["memory.current", /^inactive_file (\d+)$/m] as const)
        : (["memory.usage_in_bytes", /^total_inactive_file (\d+)$/m] as const);
    for (const root of roots) {
      const bytes = readIfThere(join(root, this.path, used));
      if (bytes === "") continue;
      const droppable = Number(cached.exec(readIfThere(join(root, this.path, "memory.stat")))?.[1] ?? 0);
      return Math.max(0, Number(bytes) - droppable);
    }
    return undefined;
  }

  /** The memory of this cgroup and below. `undefined`: no hierarchy counts it. */
  memoryState(): MemoryState | undefined {
    const v1 = this.#options.v1Memory;
    const [used, prefix] = v1 === undefined ? ["memory.current", ""] : ["memory.usage_in_bytes", "total_"];
    for (const root of v1 === undefined ? this.#options.hierarchies : [v1]) {
      const bytes = readIfThere(join(root, this.path, used));
      if (bytes === "") continue;
      const counts = readIfThere(join(root, this.path, "memory.stat"));
      const count = (name: string) => Number(new RegExp(`^${prefix}${name} (\\d+)$`, "m").exec(counts)?.[1] ?? 0);
      return {
        usedBytes: Number(bytes),
        fileBytes: count("active_file") + count("inactive_file"),
        refaults: count("workingset_refault_file"),
      };
    }
    return undefined;
  }

  /** Kills the process that the kernel would kill for lack of memory. */
  killLargest(): void {
    const scores = this.#pids().map((pid) => ({ pid, score: Number(readIfThere(`/proc/${pid}/oom_score`)) }));
    const [largest] = scores.sort((a, b) => b.score - a.score);
    if (largest === undefined) return;
    this.#killedForMemory += 1;
    killProcess(largest.pid, "SIGKILL");
  }

  #sumOf(file: string, pattern: RegExp): number {
    return this.#options.hierarchies
      .map((root) => Number(pattern.exec(readIfThere(join(root, this.path, file)))?.[1] ?? 0))
      .reduce((sum, count) => sum + count, 0);
  }

  /** Host pids of all processes in this cgroup and below. */
  async processes(): Promise<ReadonlySet<number>> {
    return new Set(this.#pids());
  }

  #pids(): number[] {
    const directories = this.#options.hierarchies.flatMap((root) => this.#directories(root));
    return directories.flatMap((directory) =>
      readIfThere(join(directory, "cgroup.procs"))
        .split("\n")
        .map(Number)
        .filter((pid) => pid > 0),
    );
  }

  /**
   * Kills every process, however fast they fork.
   * @throws {AirlockError} reason `runtime` when one still exists after 10 s, e.g. stuck in a dead file system.
   */
  async kill(): Promise<void> {
    if ((await this.processes()).size === 0) return;
    for (const root of this.#options.hierarchies) {
      // On v2, Linux ≥ 5.14 kills the whole tree at once. Elsewhere, forbid forks while the loop below runs.
      for (const [file, value] of [
        ["cgroup.kill", "1"],
        ["pids.max", "0"],
      ] as const) {
        try {
          writeFileSync(join(root, this.path, file), value, { flag: "r+" });
        } catch (error) {
          if (!isMissing(error)) throw error;
        }
      }
    }
    const deadline = Date.now() + 10_000;
    for (let pauseMs = 1; ; pauseMs = Math.min(50, pauseMs * 2)) {
      const left = await this.processes();
      if (left.size === 0) return;
      if (Date.now() > deadline)
        throw runtimeFailed(`processes of ${this.path} survive SIGKILL: ${[...left].join(" ")}`);
      for (const pid of left) killProcess(pid, "SIGKILL");
      await delay(pauseMs);
    }
  }

  /**
   * Removes the directories, which must have no processes. Also removes the directory of the sandbox's owner if it is
   * empty then.
   */
  async remove(): Promise<void> {
    for (const root of this.#options.everywhere) {
      for (const directory of this.#directories(root).reverse()) await removeDirectory(directory);
      if (this.#options.isWithin) continue;
      const owner = dirname(this.path);
      for (const parent of [owner, dirname(owner)]) {
        if (parent === "/") break;
        await rmdir(join(root, parent)).catch((error: unknown) => {
          if (!isMissing(error) && errorCode(error) !== "EBUSY" && errorCode(error) !== "ENOTEMPTY") throw error;
        });
      }
    }
  }

  /** The directories of this cgroup and all below it in one hierarchy, parents first. */
  #directories(root: string): string[] {
    const found: string[] = [];
    const queue = [join(root, this.path)];
    for (let directory = queue.shift(); directory !== undefined; directory = queue.shift()) {
      try {
        const entries = readdirSync(directory, { withFileTypes: true });
        found.push(directory);
        for (const entry of entries) if (entry.isDirectory()) queue.push(join(directory, entry.name));
      } catch (error) {
        if (!isMissing(error)) throw error;
      }
    }
    return found;
  }
}

/** Limits the kernel's memory for the sockets of a v1 cgroup. Does nothing on kernels that don't count it. */
export function limitSocketBuffers(directory: string, bytes: number | "unlimited"): void {
  const value = bytes === "unlimited" ? "-1" : String(bytes);
  try {
    writeFileSync(join(directory, "memory.kmem.tcp.limit_in_bytes"), value, { flag: "r+" });
  } catch (error) {
    if (!["ENOENT", "EOPNOTSUPP"].includes(errorCode(error) ?? "")) throw error;
  }
}

/** Signals a process that may be gone already. */
export function killProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (errorCode(error) !== "ESRCH") throw error;
  }
}

function readCounter(path: string): number {
  return Number(/^oom_kill (\d+)$/m.exec(readIfThere(path))?.[1] ?? 0);
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (isMissing(error)) return "";
    throw error;
  }
}

/** ENODEV: the cgroup was removed while the file was open. */
function isMissing(error: unknown): boolean {
  const code = errorCode(error);
  return code === "ENOENT" || code === "ENODEV";
}

async function makeDirectory(path: string): Promise<void> {
  // Another process may remove an empty parent while mkdir creates the path.
  for (let attempt = 0; ; attempt += 1) {
    try {
      await mkdir(path, { recursive: true });
      return;
    } catch (error) {
      if (errorCode(error) !== "ENOENT" || attempt === 10) throw error;
    }
  }
}

async function removeDirectory(directory: string): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      await rmdir(directory);
      return;
    } catch (error) {
      if (isMissing(error)) return;
      // The kernel releases a cgroup a moment after its last process is reaped.
      if (errorCode(error) !== "EBUSY" || attempt === 100) throw error;
      await delay(Math.min(50, 1 + attempt));
    }
  }
}

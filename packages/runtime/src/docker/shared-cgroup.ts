import { readdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { SandboxLimits, SandboxPlan } from "../contract/index.ts";
import type { Cgroup } from "../host/cgroups/cgroup.ts";
import { CgroupGuard } from "../host/cgroups/cgroup-guard.ts";
import type { CgroupHost } from "../host/cgroups/cgroup-host.ts";
import { errorCode } from "../host/error-code.ts";
import type { ContainerOverhead } from "./container-spec.ts";

/** How often the kernel refused something because a limit was reached. The counts only grow. */
export interface LimitCounts {
  readonly oomKills: number;
  readonly refusedForks: number;
}

/**
 * The parent cgroup of all containers of one sandbox, whose limits cover them together. Dispose of it only after the
 * containers are gone.
 */
export class SharedCgroup implements AsyncDisposable {
  readonly #host: CgroupHost;
  readonly #cgroup: Cgroup;
  readonly #plan: SandboxPlan;
  readonly #overhead: ContainerOverhead;
  /** The executor's death ends containers by itself, unless their processes prevent that. */
  readonly #guard: CgroupGuard;

  private constructor(host: CgroupHost, cgroup: Cgroup, plan: SandboxPlan, overhead: ContainerOverhead) {
    this.#host = host;
    this.#cgroup = cgroup;
    this.#plan = plan;
    this.#overhead = overhead;
    this.#guard = new CgroupGuard(cgroup);
  }

  /** Resolves to `undefined` if this process can't limit cgroups. */
  static async create(
    host: CgroupHost,
    plan: SandboxPlan,
    overhead: ContainerOverhead,
  ): Promise<SharedCgroup | undefined> {
    const cgroup = await host.create(plan.owner, plan.id, withOverhead(plan.limits, overhead, 1));
    return cgroup && new SharedCgroup(host, cgroup, plan, overhead);
  }

  /** Path for the engine's `CgroupParent`. */
  get path(): string {
    return this.#cgroup.path;
  }

  /** Raises the pids limit by the overhead of this many containers. */
  async admit(containers: number): Promise<void> {
    const { owner, id, limits } = this.#plan;
    await this.#host.create(owner, id, withOverhead(limits, this.#overhead, containers));
  }

  /** Host pids of all processes in the sandbox. */
  processes(): Promise<ReadonlySet<number>> {
    return this.#cgroup.processes();
  }

  /** The processes of a container, as this machine numbers them; the engine names its cgroup after it. */
  async processesOf(container: string): Promise<readonly number[]> {
    return [...(await this.#cgroup.child(container).processes())];
  }

  /** Has the kernel count a container's socket buffers as memory. OCI runtimes no longer do that on cgroup v1. */
  async countSocketBuffers(container: string): Promise<void> {
    await this.#cgroup.child(container).countSocketBuffers();
  }

  /**
   * Whether the engine really puts its containers here. It does not on another machine or in another cgroup namespace.
   */
  async holdsProcesses(): Promise<boolean> {
    return (await this.processes()).size > 0;
  }

  /** Whether the job's memory limit was reached at any time. */
  reachedMemoryLimit(): Promise<boolean> {
    return this.#cgroup.reachedMemory(this.#plan.limits.memoryBytes);
  }

  async counts(): Promise<LimitCounts> {
    const [oomKills, refusedForks] = await Promise.all([this.#cgroup.oomKills(), this.#refusedForks()]);
    return { oomKills, refusedForks };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#guard[Symbol.asyncDispose]();
    // Usually empty. Kills processes that the engine has lost track of.
    await this.#cgroup.kill();
    await this.#cgroup.remove();
  }

  /**
   * Sums up refused forks. Depending on the kernel version they are counted in the cgroup of the fork, in the one with
   * the limit, or in both.
   */
  async #refusedForks(): Promise<number> {
    const roots = [...new Set(this.#cgroup.joinFiles.map((file) => dirname(file)))];
    return (await Promise.all(roots.map(countRefusals))).reduce((sum, count) => sum + count, 0);
  }
}

function withOverhead(limits: SandboxLimits, overhead: ContainerOverhead, containers: number): SandboxLimits {
  return { ...limits, pids: limits.pids * overhead.pidsFactor + containers * overhead.pids };
}

async function countRefusals(directory: string): Promise<number> {
  try {
    const events = await readFile(join(directory, "pids.events"), "utf8").catch((error: unknown) => {
      if (errorCode(error) === "ENOENT") return "";
      throw error;
    });
    const own = Number(/^max (\d+)$/m.exec(events)?.[1] ?? 0);
    const entries = (await readdir(directory, { withFileTypes: true })).filter((entry) => entry.isDirectory());
    const below = await Promise.all(entries.map((entry) => countRefusals(join(directory, entry.name))));
    return below.reduce((sum, count) => sum + count, own);
  } catch (error) {
    if (["ENOENT", "ENODEV"].includes(errorCode(error) ?? "")) return 0;
    throw error;
  }
}

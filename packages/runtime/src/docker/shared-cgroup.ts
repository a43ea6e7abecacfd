import { readdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { SandboxLimits, SandboxPlan } from "../contract/index.ts";
import type { Cgroup } from "../host/cgroups/cgroup.ts";
import type { CgroupHost } from "../host/cgroups/cgroup-host.ts";
import { errorCode } from "../host/error-code.ts";
import type { ContainerOverhead } from "./container-spec.ts";

/** How often the kernel refused something for want of room; only ever grows. */
export interface LimitCounts {
  readonly oomKills: number;
  readonly refusedForks: number;
}

/** The cgroup above all containers of one sandbox: its limits hold for them together. Disposing needs them gone. */
export class SharedCgroup implements AsyncDisposable {
  readonly #host: CgroupHost;
  readonly #cgroup: Cgroup;
  readonly #plan: SandboxPlan;
  readonly #overhead: ContainerOverhead;

  private constructor(host: CgroupHost, cgroup: Cgroup, plan: SandboxPlan, overhead: ContainerOverhead) {
    this.#host = host;
    this.#cgroup = cgroup;
    this.#plan = plan;
    this.#overhead = overhead;
  }

  /** `undefined` where this process can't limit cgroups. */
  static async create(
    host: CgroupHost,
    plan: SandboxPlan,
    overhead: ContainerOverhead,
  ): Promise<SharedCgroup | undefined> {
    const cgroup = await host.create(plan.owner, plan.id, withOverhead(plan.limits, overhead, 1));
    return cgroup && new SharedCgroup(host, cgroup, plan, overhead);
  }

  /** For the engine to put containers below. */
  get path(): string {
    return this.#cgroup.path;
  }

  /** Makes room for what so many containers need for themselves. */
  async admit(containers: number): Promise<void> {
    const { owner, id, limits } = this.#plan;
    await this.#host.create(owner, id, withOverhead(limits, this.#overhead, containers));
  }

  /** As this machine numbers them. */
  processes(): Promise<ReadonlySet<number>> {
    return this.#cgroup.processes();
  }

  /** How many processes a container has; the engine names its cgroup after it. */
  async processesOf(container: string): Promise<number> {
    return (await this.#cgroup.child(container).processes()).size;
  }

  /** Has the kernel count what the sockets of a container hold. OCI runtimes no longer do that on cgroup v1. */
  async countSocketBuffers(container: string): Promise<void> {
    await this.#cgroup.child(container).countSocketBuffers();
  }

  /** Whether the engine does put its containers here: not so from another machine, or another cgroup namespace. */
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
    // There should be none: only what an engine lost sight of.
    await this.#cgroup.kill();
    await this.#cgroup.remove();
  }

  /** Kernels count where the fork was tried, or where the limit is, or both. */
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

import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { SandboxLimits, SandboxPlan, SandboxUsage } from "../contract/index.ts";
import type { Cgroup } from "../host/cgroups/cgroup.ts";
import { CgroupGuard } from "../host/cgroups/cgroup-guard.ts";
import type { CgroupHost } from "../host/cgroups/cgroup-host.ts";
import { endCgroup } from "../host/cgroups/end-cgroup.ts";
import { watchStarvation } from "../host/cgroups/starvation.ts";
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
  #guard: CgroupGuard | undefined;
  #isDisposed = false;

  private constructor(host: CgroupHost, cgroup: Cgroup, plan: SandboxPlan, overhead: ContainerOverhead) {
    this.#host = host;
    this.#cgroup = cgroup;
    this.#plan = plan;
    this.#overhead = overhead;
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

  /**
   * Has the processes of the sandbox end with the executor from now on. Call it before a container starts. Starting a
   * process holds this one up for milliseconds, so callers do it while the engine works.
   */
  guard(): void {
    // A creation that fails at once may have disposed of this before its caller gets here.
    if (this.#isDisposed) return;
    this.#guard ??= new CgroupGuard(this.#cgroup);
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

  /** What the processes of all containers use together. */
  usage(): SandboxUsage {
    return { cpuMs: this.#cgroup.cpuMs(), memoryBytes: this.#cgroup.memoryBytes() };
  }

  /** As {@link watchStarvation}, for the containers together. */
  watchStarvation(): Disposable {
    return watchStarvation(this.#cgroup, this.#cgroup, this.#plan.limits.memoryBytes);
  }

  async counts(): Promise<LimitCounts> {
    return { oomKills: await this.#cgroup.oomKills(), refusedForks: this.#refusedForks() };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isDisposed = true;
    await this.#guard?.[Symbol.asyncDispose]();
    // Usually empty. Kills processes that the engine has lost track of.
    await endCgroup(this.#cgroup);
  }

  /**
   * Sums up refused forks. Depending on the kernel version they are counted in the cgroup of the fork, in the one with
   * the limit, or in both.
   */
  #refusedForks(): number {
    const roots = [...new Set(this.#cgroup.joinFiles.map((file) => dirname(file)))];
    return roots.map(countRefusals).reduce((sum, count) => sum + count, 0);
  }
}

function withOverhead(limits: SandboxLimits, overhead: ContainerOverhead, containers: number): SandboxLimits {
  return { ...limits, pids: limits.pids * overhead.pidsFactor + containers * overhead.pids };
}

/** Reads synchronously, as {@link Cgroup} does. */
function countRefusals(directory: string): number {
  try {
    const events = readIfThere(join(directory, "pids.events"));
    const own = Number(/^max (\d+)$/m.exec(events)?.[1] ?? 0);
    const entries = readdirSync(directory, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    return entries.reduce((sum, entry) => sum + countRefusals(join(directory, entry.name)), own);
  } catch (error) {
    if (["ENOENT", "ENODEV"].includes(errorCode(error) ?? "")) return 0;
    throw error;
  }
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return "";
    throw error;
  }
}

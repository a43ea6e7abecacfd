import { formatBytes } from "@airlock/job";
import type { SandboxLimits, StepStatus } from "../contract/index.ts";
import type { LimitCounts, SharedCgroup } from "./shared-cgroup.ts";

/**
 * Counts what the kernel refused a sandbox since the start of a step. Counts nothing if the cgroup's counters can't be
 * read.
 */
export class LimitsDuringStep {
  readonly #cgroup: SharedCgroup | undefined;
  readonly #before: LimitCounts | undefined;

  private constructor(cgroup: SharedCgroup | undefined, before: LimitCounts | undefined) {
    this.#cgroup = cgroup;
    this.#before = before;
  }

  static async begin(cgroup: SharedCgroup | undefined): Promise<LimitsDuringStep> {
    return new LimitsDuringStep(cgroup, await cgroup?.counts());
  }

  /** Whether the counters can be read. If not, a count of zero means nothing. */
  get isInSight(): boolean {
    return this.#before !== undefined;
  }

  async counts(): Promise<LimitCounts> {
    const after = await this.#cgroup?.counts();
    const [before, now] = [this.#before, after];
    if (!before || !now) return { oomKills: 0, refusedForks: 0 };
    // The counters of a removed container are gone, so the sum may shrink.
    const since = (key: keyof LimitCounts) => Math.max(0, now[key] - before[key]);
    return { oomKills: since("oomKills"), refusedForks: since("refusedForks") };
  }

  /** Notes on limits that the step reached and that its exit status does not show. */
  async notes(status: StepStatus, { memoryBytes, pids }: SandboxLimits): Promise<string[]> {
    const { oomKills, refusedForks } = await this.counts();
    const notes: string[] = [];
    if (oomKills > 0 && !(status.kind === "killed" && status.outOfMemory)) {
      notes.push(`a process of the step was killed: the job used more memory than its ${formatBytes(memoryBytes)}`);
    }
    if (refusedForks > 0) {
      notes.push(`the step was refused new processes: the job's limit is ${pids} at a time (resources.pids)`);
    }
    return notes;
  }
}

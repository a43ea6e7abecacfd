import type { Cgroup } from "../host/cgroups/cgroup.ts";

/** The kernel's counters of a sandbox over all its steps. They never decrease. */
export interface LimitCounts {
  readonly refusedForks: number;
  readonly throttledMs: number;
  /** On a monotonic clock. */
  readonly atMs: number;
}

export async function countLimits(sandbox: Cgroup): Promise<LimitCounts> {
  const [refusedForks, throttledMs] = await Promise.all([sandbox.refusedForks(), sandbox.throttledMs()]);
  return { refusedForks, throttledMs, atMs: performance.now() };
}

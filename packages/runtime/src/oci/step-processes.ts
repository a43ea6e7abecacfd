import { readdir } from "node:fs/promises";
import type { Cgroup } from "../host/cgroups/cgroup.ts";
import { readProcessStatus } from "../host/process-status.ts";

export interface StepProcesses {
  /** The first process of the step, by its id on the host; `undefined`: the step has none yet, or none any more. */
  readonly init: number | undefined;
  /** All others that have not ended. */
  readonly others: readonly number[];
  /** Whether one of the others runs, or waits for a processor or a disk. */
  readonly areBusy: boolean;
}

/**
 * The processes of a step as the host sees them. The launcher's child is the OCI runtime, the first process of a namespace of
 * its own; the step has a namespace within that.
 * @param cgroup holds everything of the step; `undefined`: what descends from the launcher counts.
 */
export async function findStepProcesses(launcher: number, cgroup: Cgroup | undefined): Promise<StepProcesses> {
  const candidates = cgroup
    ? [...(await cgroup.processes())]
    : (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
  const statuses = candidates.map(readProcessStatus);
  const seen = new Map(statuses.flatMap((status) => (status ? [[status.pid, status]] : [])));
  const isOfLauncher = (pid: number): boolean => {
    for (let at = seen.get(pid), steps = 0; at && steps < seen.size; at = seen.get(at.parent), steps += 1) {
      if (at.parent === launcher) return true;
    }
    return false;
  };
  const inside = [...seen.values()].filter(
    ({ pid, isDead, namespaceIds }) =>
      !isDead && namespaceIds.length >= 3 && (cgroup !== undefined || isOfLauncher(pid)),
  );
  const others = inside.filter(({ namespaceIds }) => namespaceIds.at(-1) !== 1);
  return {
    init: inside.find(({ namespaceIds }) => namespaceIds.at(-1) === 1)?.pid,
    others: others.map(({ pid }) => pid),
    areBusy: others.some(({ isBusy }) => isBusy),
  };
}

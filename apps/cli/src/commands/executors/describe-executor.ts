import type { ExecutorView } from "@airlock/api";
import type { Paint } from "../../terminal/paint.ts";

export function executorState(
  executor: Pick<ExecutorView, "active" | "draining" | "resumable" | "runningJobs">,
  paint: Paint,
): string {
  if (!executor.active) return paint("dim", "inactive");
  if (!executor.draining) return paint("green", "active");
  return paint("yellow", executor.resumable && executor.runningJobs.length === 0 ? "drained" : "draining");
}

/** `linux/amd64`. Leaves out what the executor does not report; empty if it reports neither. */
export function platformOf({ os, architecture }: Pick<ExecutorView, "os" | "architecture">): string {
  return [os, architecture].filter(Boolean).join("/");
}

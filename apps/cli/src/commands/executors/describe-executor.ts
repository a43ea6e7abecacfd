import type { ExecutorView } from "@airlock/api";
import type { Paint } from "../../terminal/paint.ts";

export function executorState(executor: Pick<ExecutorView, "active" | "draining">, paint: Paint): string {
  if (!executor.active) return paint("dim", "inactive");
  return executor.draining ? paint("yellow", "draining") : paint("green", "active");
}

/** `linux/amd64`. Leaves out what the executor does not report; empty if it reports neither. */
export function platformOf({ os, architecture }: Pick<ExecutorView, "os" | "architecture">): string {
  return [os, architecture].filter(Boolean).join("/");
}

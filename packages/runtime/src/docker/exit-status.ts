import { constants } from "node:os";
import type { StepStatus } from "../contract/runtime.ts";

const names = new Map(Object.entries(constants.signals).map(([name, number]) => [number, name]));

/**
 * What a shell's exit code says. The engine reports a signal as 128 + its number, as shells do, and nothing tells the
 * two apart: a script that exits with 137 counts as killed.
 */
export function exitStatus(exitCode: number, outOfMemory: boolean): StepStatus {
  const signal = exitCode > 128 ? names.get(exitCode - 128) : undefined;
  if (signal === undefined) return { kind: "exited", exitCode };
  return { kind: "killed", signal, outOfMemory: outOfMemory && signal === "SIGKILL" };
}

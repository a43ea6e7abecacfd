import type { StepStatus } from "../contract/index.ts";

/**
 * The status of a step that ended with an exit code. The engine reports 128 + n for a process killed by signal n, but a
 * script can exit with that number itself. So no signal is named, except SIGKILL for lack of memory, which the kernel
 * counts.
 */
export function exitStatus(exitCode: number, outOfMemory: boolean): StepStatus {
  return outOfMemory ? { kind: "killed", signal: "SIGKILL", outOfMemory } : { kind: "exited", exitCode };
}

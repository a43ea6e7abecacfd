import type { StepStatus } from "../contract/index.ts";

/**
 * The status of a step that ended with an exit code. The engine reports 128 + n when signal n ended the process, and also
 * when the script exited with that number by itself, so no signal is named. The exception is SIGKILL by the kernel for
 * lack of memory, which the kernel counts.
 */
export function exitStatus(exitCode: number, outOfMemory: boolean): StepStatus {
  return outOfMemory ? { kind: "killed", signal: "SIGKILL", outOfMemory } : { kind: "exited", exitCode };
}

import { readFileSync } from "node:fs";
import { errorCode } from "./error-code.ts";

/** What proc(5) says of a process. */
export interface ProcessStatus {
  readonly pid: number;
  readonly parent: number;
  /** Whether it has ended, and waits for its parent to take notice. */
  readonly isDead: boolean;
  /** Whether it runs, or waits for a processor or a disk. */
  readonly isBusy: boolean;
  /** Its ids in the namespaces that it is in, from this process's own one inwards. */
  readonly namespaceIds: readonly number[];
}

/** `undefined`: there is no such process any more. */
export function readProcessStatus(pid: number): ProcessStatus | undefined {
  let text: string;
  try {
    // The kernel answers from memory. The thread pool would take longer.
    text = readFileSync(`/proc/${pid}/status`, "latin1");
  } catch (error) {
    if (["ENOENT", "ESRCH"].includes(errorCode(error) ?? "")) return undefined;
    throw error;
  }
  const field = (name: string) => new RegExp(`^${name}:\\s*(.*)$`, "m").exec(text)?.[1] ?? "";
  const state = field("State").slice(0, 1);
  return {
    pid,
    parent: Number(field("PPid")),
    isDead: isDeadState(state),
    isBusy: isBusyState(state),
    namespaceIds: field("NSpid").split(/\s+/).map(Number),
  };
}

/** @param state The letters that proc(5) and ps(1) use for process states. */
export function isDeadState(state: string): boolean {
  return /^[ZX]/.test(state);
}

export function isBusyState(state: string): boolean {
  return /^[RD]/.test(state);
}

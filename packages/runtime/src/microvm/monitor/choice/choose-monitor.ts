import { AirlockError, errorMessage } from "@airlock/job";
import { ProgramError } from "@airlock/process";
import type { Abortable } from "../../../contract/abortable.ts";
import { runtimeFailed } from "../../../contract/errors.ts";
import type { VmMonitor } from "../vm-monitor.ts";
import type { MonitorCandidate } from "./monitor-candidates.ts";

export interface MonitorChoice {
  readonly monitor: VmMonitor;
  /** Why better ones were not taken, in sentences. */
  readonly notes: readonly string[];
}

const maxReason = 400;
/** What monitors' errors quote after this is too long for a note. */
const quotedConsole = "; its console ends with:";

/**
 * Takes the first candidate that works.
 * @param works Rejects when the monitor can't run a guest.
 * @throws {AirlockError} reason `runtime` when no one does; code `monitor-missing` when a path in a setting is wrong.
 */
export async function chooseMonitor(
  candidates: readonly MonitorCandidate[],
  works: (monitor: VmMonitor) => Promise<void>,
  { signal }: Abortable,
): Promise<MonitorChoice> {
  const notes: string[] = [];
  for (const candidate of candidates) {
    try {
      const monitor = await candidate.open();
      await works(monitor);
      return { monitor, notes };
    } catch (error) {
      signal.throwIfAborted();
      const isRefusal =
        error instanceof AirlockError ? error.code !== "monitor-missing" : error instanceof ProgramError;
      // The only candidate's own error has the best hint.
      if (!isRefusal || candidates.length === 1) throw error;
      notes.push(`${candidate.name} is not used: ${oneLine(errorMessage(error))}.`);
    }
  }
  throw runtimeFailed(
    `no program on this machine can run a virtual machine. ${notes.join(" ")}`,
    undefined,
    "Install QEMU as root: executor install microvm. If it is installed, correct EXECUTOR_VM_MONITOR, EXECUTOR_VM_ACCELERATOR or EXECUTOR_QEMU, which choose what is tried.",
  );
}

function oneLine(text: string): string {
  const [reason = ""] = text.split(quotedConsole);
  const line = reason.replace(/\s*\n\s*/g, "; ").replace(/[.;\s]+$/, "");
  return line.length > maxReason ? `${line.slice(0, maxReason)} …` : line;
}

import { AirlockError, errorMessage } from "@airlock/job";
import type { Sandbox } from "@airlock/runtime";
import type { JobLog } from "../logs/job-log.ts";

const key = "setup.startup-script";

/**
 * Runs the administrator's startup script, if the sandbox has one, as an entry of the job's log.
 * @throws {AirlockError} reason `runtime` when it fails: the job is not to blame.
 */
export async function runStartup(sandbox: Sandbox, log: JobLog, signal: AbortSignal): Promise<void> {
  if (!sandbox.startup) return;
  const entry = log.open(key);
  try {
    const status = await sandbox.startup({ signal, output: (stream, bytes) => entry.write(stream, bytes) });
    for (const note of status.notes ?? []) entry.note(note);
    entry.close(status.kind === "exited" ? status.exitCode : -1);
    if (status.kind === "exited" && status.exitCode === 0) return;
    const end = status.kind === "exited" ? `exited with ${status.exitCode}` : `was killed by ${status.signal}`;
    throw new AirlockError(`the executor's startup script ${end}`, {
      code: "runtime",
      reason: "runtime",
      hint: `Its output is in the job's log at ${key}. EXECUTOR_VM_STARTUP_SCRIPT_PATH names it on the executor's machine.`,
    });
  } catch (error) {
    // Has no effect if the script has ended.
    entry.note(errorMessage(error));
    entry.close(-1);
    throw error;
  }
}

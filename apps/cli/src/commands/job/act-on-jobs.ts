import { JobView } from "@airlock/api";
import { plainText } from "@airlock/terminal-text";
import type { CommandContext } from "../../context/command-context.ts";
import { exitCodes } from "../../context/exit-codes.ts";
import type { InstanceClient } from "../../instance/instance-client.ts";
import { RequestError } from "../../instance/request-error.ts";
import { confirm, isInteractive } from "../../terminal/confirm.ts";
import { painter } from "../../terminal/paint.ts";
import { printJson } from "../../terminal/print-json.ts";

interface Failure {
  readonly id: number;
  readonly code: string;
  readonly message: string;
}

/**
 * Cancels or retries jobs one after the other, and prints what became of each. A job that can't be changed, such as one
 * that has ended in the meantime, does not stop the others; the exit code is then 1.
 */
export async function actOnJobs(
  context: CommandContext,
  client: InstanceClient,
  ids: readonly number[],
  options: {
    readonly action: "cancel" | "retry";
    readonly describe: (job: JobView) => string;
    readonly yes?: boolean | undefined;
    readonly json?: boolean | undefined;
  },
): Promise<void> {
  const { action, describe, yes, json } = options;
  const changed: JobView[] = [];
  const failed: Failure[] = [];
  if (ids.length === 0) context.stderr.write("no job matches\n");
  else if (ids.length === 1 || yes || !isInteractive(context) || (await confirm(context, question(action, ids)))) {
    const prefix = painter(context.stderr)("red", "error:");
    for (const id of ids) {
      try {
        const job = await client.json(JobView, `jobs/${id}/${action}`, { method: "POST" });
        changed.push(job);
        if (!json) context.stdout.write(`${describe(job)}\n`);
      } catch (error) {
        // Any other error would be the same for every job.
        if (!(error instanceof RequestError) || (error.status !== 404 && error.status !== 409)) throw error;
        failed.push({ id, code: error.code, message: error.message });
        context.stderr.write(`${prefix} job ${id}: ${plainText(error.message)}\n`);
      }
    }
  } else {
    context.stderr.write("nothing changed\n");
    context.setExitCode(exitCodes.failure);
  }
  if (json) printJson(context, { jobs: changed, failed });
  if (failed.length > 0) context.setExitCode(exitCodes.failure);
}

function question(action: "cancel" | "retry", ids: readonly number[]): string {
  const shown = ids.slice(0, 10).join(", ");
  const verb = action === "cancel" ? "Cancel" : "Retry";
  return `${verb} ${ids.length} jobs (${shown}${ids.length > 10 ? ", …" : ""})?`;
}

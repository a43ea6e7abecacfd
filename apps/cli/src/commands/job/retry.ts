import { JobView } from "@airlock/api";
import { Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { UsageError } from "../../context/command-error.ts";
import { followExitCodesHelp } from "../../context/exit-codes.ts";
import { followJob } from "../../follow/follow-job.ts";
import { connect } from "../../instance/connect.ts";
import { parseJobIds } from "../../options/number-arguments.ts";
import { printJson } from "../../terminal/print-json.ts";
import { actOnJobs } from "./act-on-jobs.ts";
import { addJobFilterFlags, chooseJobs, type JobFilterFlags } from "./choose-jobs.ts";

interface Options extends JobFilterFlags {
  readonly yes?: boolean;
  readonly follow?: boolean;
  readonly cancelOnInterrupt?: boolean;
  readonly json?: boolean;
}

export function jobRetryCommand(context: CommandContext): Command {
  return addJobFilterFlags(
    new Command("retry").description("Run finished jobs again").argument("[ID...]", "the jobs' numbers", parseJobIds),
  )
    .option("-y, --yes", "do not ask before retrying more than one job")
    .option("--follow", "print the new attempt's log until the job ends; the exit code is the job's; only one ID")
    .option("--cancel-on-interrupt", "with --follow: Ctrl-C cancels the job")
    .option(
      "--json",
      "print JSON: the job, or with several or with filters the jobs and those that failed; with --follow: events, one per line",
    )
    .addHelpText(
      "after",
      `
Filters choose failed and errored jobs, unless --state says otherwise. All filters must match.
On a terminal, the command asks before it retries more than one job.

Examples:
  airlock job retry 7
  airlock job retry 7 --follow
  airlock job retry 7 8 9
  airlock job retry --queue nightly --state failed,canceled --yes
${followExitCodesHelp}
If a job could not be retried, the others are, and the exit code is 1.`,
    )
    .action(async (ids: readonly number[] = [], { yes, follow, cancelOnInterrupt, json, ...filters }: Options) => {
      if (follow && ids.length !== 1) throw new UsageError("--follow requires exactly one ID");
      const chosen = await chooseJobs(() => connect(context), ids, filters, ["failed", "errored"]);
      const client = await connect(context);
      const [id] = chosen;
      if (id !== undefined && ids.length === 1 && (follow || json)) {
        const job = await client.json(JobView, `jobs/${id}/retry`, { method: "POST" });
        if (!follow) return printJson(context, job);
        // Skip the output of earlier attempts. The job still has the number of its last attempt; the next one is one
        // higher.
        const attempt = job.attempt + 1;
        return context.setExitCode(
          await followJob(context, client, id, { fromAttempt: attempt, cancelOnInterrupt, json }),
        );
      }
      await actOnJobs(context, client, chosen, {
        action: "retry",
        describe: (job) => `job ${job.id} is queued again`,
        yes,
        json,
      });
    });
}

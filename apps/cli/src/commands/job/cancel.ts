import { JobView } from "@airlock/api";
import { Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { requestExitCodesHelp } from "../../context/exit-codes.ts";
import { connect } from "../../instance/connect.ts";
import { parseJobIds } from "../../options/number-arguments.ts";
import { printJson } from "../../terminal/print-json.ts";
import { actOnJobs } from "./act-on-jobs.ts";
import { addJobFilterFlags, chooseJobs, type JobFilterFlags } from "./choose-jobs.ts";

type Options = JobFilterFlags & { readonly yes?: boolean; readonly json?: boolean };

export function jobCancelCommand(context: CommandContext): Command {
  return addJobFilterFlags(
    new Command("cancel")
      .description("Cancel jobs: a waiting one immediately, a running one when its executor gets the request")
      .argument("[ID...]", "the jobs' numbers", parseJobIds),
  )
    .option("-y, --yes", "do not ask before canceling more than one job")
    .option("--json", "print JSON: the job, or with several or with filters the jobs and those that failed")
    .addHelpText(
      "after",
      `
Filters choose queued and processing jobs, unless --state says otherwise. All filters must match.
On a terminal, the command asks before it cancels more than one job.

Examples:
  airlock job cancel 7
  airlock job cancel 7 8 9
  airlock job cancel --queue nightly --label gpu=a100
  airlock job cancel --namespace team-a --state queued --yes
${requestExitCodesHelp}
If a job could not be canceled, the others are, and the exit code is 1.`,
    )
    .action(async (ids: readonly number[] = [], { yes, json, ...filters }: Options) => {
      const chosen = await chooseJobs(() => connect(context), ids, filters, ["queued", "processing"]);
      const client = await connect(context);
      if (ids.length === 1 && json) {
        return printJson(context, await client.json(JobView, `jobs/${ids[0]}/cancel`, { method: "POST" }));
      }
      await actOnJobs(context, client, chosen, {
        action: "cancel",
        describe: ({ id, state }) => `job ${id} ${state === "canceled" ? "is canceled" : "is being canceled"}`,
        yes,
        json,
      });
    });
}

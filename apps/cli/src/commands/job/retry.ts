import { JobView } from "@airlock/api";
import { Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { followExitCodesHelp } from "../../context/exit-codes.ts";
import { followJob } from "../../follow/follow-job.ts";
import { connect } from "../../instance/connect.ts";
import { parseJobId } from "../../options/number-arguments.ts";
import { printJson } from "../../terminal/print-json.ts";

interface Options {
  readonly follow?: boolean;
  readonly cancelOnInterrupt?: boolean;
  readonly json?: boolean;
}

export function jobRetryCommand(context: CommandContext): Command {
  return new Command("retry")
    .description("Run a finished job again")
    .argument("<ID>", "the job's number", parseJobId)
    .option("--follow", "print the new attempt's log until the job ends; the exit code is the job's")
    .option("--cancel-on-interrupt", "with --follow: Ctrl-C cancels the job")
    .option("--json", "print JSON; with --follow: events, one per line")
    .addHelpText(
      "after",
      `
Examples:
  airlock job retry 7
  airlock job retry 7 --follow
${followExitCodesHelp}`,
    )
    .action(async (id: number, { follow, cancelOnInterrupt, json }: Options) => {
      const client = await connect(context);
      const job = await client.json(JobView, `jobs/${id}/retry`, { method: "POST" });
      if (follow) {
        // Skip the output of earlier attempts. The job still has the number of its last attempt; the next one is one
        // higher.
        const attempt = job.attempt + 1;
        context.setExitCode(await followJob(context, client, id, { fromAttempt: attempt, cancelOnInterrupt, json }));
      } else if (json) printJson(context, job);
      else context.stdout.write(`job ${id} is queued again\n`);
    });
}

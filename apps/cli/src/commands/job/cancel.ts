import { JobView } from "@airlock/api";
import { Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { requestExitCodesHelp } from "../../context/exit-codes.ts";
import { connect } from "../../instance/connect.ts";
import { parseJobId } from "../../options/number-arguments.ts";
import { printJson } from "../../terminal/print-json.ts";

export function jobCancelCommand(context: CommandContext): Command {
  return new Command("cancel")
    .description("Cancel a job: a waiting one immediately, a running one when its executor gets the request")
    .argument("<ID>", "the job's number", parseJobId)
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Example:
  airlock job cancel 7
${requestExitCodesHelp}`,
    )
    .action(async (id: number, options: { readonly json?: boolean }) => {
      const client = await connect(context);
      const job = await client.json(JobView, `jobs/${id}/cancel`, { method: "POST" });
      if (options.json) printJson(context, job);
      else context.stdout.write(`job ${id} ${job.state === "canceled" ? "is canceled" : "is being canceled"}\n`);
    });
}

import { Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { UsageError } from "../../context/command-error.ts";
import { followExitCodesHelp } from "../../context/exit-codes.ts";
import { followJob } from "../../follow/follow-job.ts";
import { printLogs } from "../../follow/print-logs.ts";
import { connect } from "../../instance/connect.ts";
import { parseJobId, parsePositive } from "../../options/number-arguments.ts";

interface Options {
  readonly follow?: boolean;
  readonly attempt?: number;
  readonly entry?: number;
  readonly json?: boolean;
  readonly outputOnly?: boolean;
}

export function jobLogsCommand(context: CommandContext): Command {
  return new Command("logs")
    .description("Print a job's log: as it is into a file or pipe, made safe on a terminal")
    .argument("<ID>", "the job's number", parseJobId)
    .option("--follow", "go on until the job ends; the exit code is the job's")
    .option("--attempt <N>", "this attempt; default: the last, with --follow all", parsePositive)
    .option("--entry <N>", "only this log entry, as `airlock job show` numbers them", parsePositive)
    .option("--output-only", "only what the steps printed, byte for byte, without headings and messages of Airlock")
    .option("--json", "with --follow: print events as JSON, one per line")
    .addHelpText(
      "after",
      `
Examples:
  airlock job logs 7
  airlock job logs 7 --follow
  airlock job logs 7 --attempt 1 > attempt-1.log

The first line shows the mark of Airlock's own lines, which is new each time. No output of a step can begin with it.
${followExitCodesHelp}`,
    )
    .action(async (id: number, options: Options) => {
      const { attempt, entry, follow, json, outputOnly } = options;
      if (follow && entry !== undefined) throw new UsageError("--entry does not go with --follow");
      if (json && !follow) throw new UsageError("--json goes with --follow");
      if (outputOnly && follow) throw new UsageError("--output-only does not go with --follow");
      const client = await connect(context);
      if (follow) context.setExitCode(await followJob(context, client, id, { attempt, json }));
      else await printLogs(context, client, id, { attempt, entry, outputOnly });
    });
}

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
  readonly step?: string;
  readonly failed?: boolean;
  readonly tail?: number;
  readonly json?: boolean;
  readonly outputOnly?: boolean;
  readonly timestamps?: boolean;
}

export function jobLogsCommand(context: CommandContext): Command {
  return new Command("logs")
    .description("Print a job's log: unchanged into a file or pipe, without control characters on a terminal")
    .argument("<ID>", "the job's number", parseJobId)
    .option("--follow", "keep printing until the job ends; the exit code is the job's")
    .option("--attempt <N>", "only this attempt; default: the last one, or all with --follow", parsePositive)
    .option("--entry <N>", "only this log entry, by its number in `airlock job show`", parsePositive)
    .option("--step <KEY>", "only this step, by its key in `airlock job show`")
    .option("--failed", "only what failed: steps, setup or teardown that ended with another exit code than 0")
    .option("--tail <N>", "only the last N lines; with --step or --failed, of each log entry", parsePositive)
    .option("--timestamps", "begin each line of output with the time at which the instance got it, in UTC")
    .option("--output-only", "only what the steps printed, byte for byte, without Airlock's headings and messages")
    .option("--json", "with --follow: print events as JSON, one per line")
    .addHelpText(
      "after",
      `
Examples:
  airlock job logs 7
  airlock job logs 7 --follow
  airlock job logs 7 --failed --tail 50
  airlock job logs 7 --step test --output-only
  airlock job logs 7 --attempt 1 > attempt-1.log

The first line shows the mark that begins Airlock's own lines. It is new each time, so steps cannot print it.
${followExitCodesHelp}`,
    )
    .action(async (id: number, options: Options) => {
      const { attempt, entry, step, failed, tail, follow, json, outputOnly, timestamps } = options;
      if (follow && entry !== undefined) throw new UsageError("--entry cannot be used with --follow");
      if (json && !follow) throw new UsageError("--json requires --follow");
      if (outputOnly && follow) throw new UsageError("--output-only cannot be used with --follow");
      if (follow && (step !== undefined || failed || tail !== undefined || timestamps)) {
        throw new UsageError("--step, --failed, --tail and --timestamps cannot be used with --follow");
      }
      if (entry !== undefined && (step !== undefined || failed)) {
        throw new UsageError("--entry cannot be used with --step or --failed");
      }
      const client = await connect(context);
      if (follow) context.setExitCode(await followJob(context, client, id, { attempt, json }));
      else await printLogs(context, client, id, { attempt, entry, step, failed, tail, outputOnly, timestamps });
    });
}

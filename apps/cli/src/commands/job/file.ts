import { JobView } from "@airlock/api";
import { Command } from "commander";
import { stringify } from "yaml";
import type { CommandContext } from "../../context/command-context.ts";
import { requestExitCodesHelp } from "../../context/exit-codes.ts";
import { connect } from "../../instance/connect.ts";
import { specOfJob } from "../../job-file/spec-of-job.ts";
import { parseJobId } from "../../options/number-arguments.ts";
import { printJson } from "../../terminal/print-json.ts";

export function jobFileCommand(context: CommandContext): Command {
  return new Command("file")
    .description("Print a job as a job file, to run it again or to change it")
    .argument("<ID>", "the job's number", parseJobId)
    .option("--commit", "name the commit that the job ran on, instead of its revision")
    .option("--json", "print JSON, which is also a job file")
    .addHelpText(
      "after",
      `
The instance does not return the values of \`env\` and the contents of \`files\`. Add them to the file.

Examples:
  airlock job file 7 > job.yaml
  airlock job file 7 --commit | airlock job submit -f -
${requestExitCodesHelp}`,
    )
    .action(async (id: number, options: { readonly commit?: boolean; readonly json?: boolean }) => {
      const client = await connect(context);
      const spec = specOfJob(await client.json(JobView, `jobs/${id}`), { commit: options.commit ?? false });
      if (options.json) return printJson(context, spec);
      // YAML escapes what could control a terminal.
      const yaml = stringify(spec, { lineWidth: 0, blockQuote: "literal" });
      context.stdout.write(`# Job ${id}, without the values of env and the contents of files.\n${yaml}`);
    });
}

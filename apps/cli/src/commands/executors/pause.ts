import { ExecutorList } from "@airlock/api";
import { plainText } from "@airlock/terminal-text";
import { Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { requestExitCodesHelp } from "../../context/exit-codes.ts";
import { connect } from "../../instance/connect.ts";
import { parseExecutorName } from "../../options/name-arguments.ts";
import { printJson } from "../../terminal/print-json.ts";

export function executorsPauseCommand(context: CommandContext): Command {
  return new Command("pause")
    .description("Pause an executor: it takes no new jobs until it is resumed")
    .argument("<NAME>", "the executor's name, from `airlock executors list`", parseExecutorName)
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
It finishes its running jobs and stays connected. An executor that would exit instead is refused; \`airlock executors
drain NAME\` ends it.

Examples:
  airlock executors pause build-7
  airlock executors resume build-7
${requestExitCodesHelp}`,
    )
    .action(async (name: string, options: { readonly json?: boolean }) => {
      const client = await connect(context);
      const path = `executors/${encodeURIComponent(name)}/pause`;
      const executor = await client.json(ExecutorList.shape.executors.element, path, { method: "POST" });
      if (options.json) return printJson(context, executor);
      const running = executor.runningJobs.length;
      const jobs = running === 1 ? "1 job" : `${running} jobs`;
      context.stdout.write(`executor ${plainText(executor.name)} is paused: ${jobs} still running\n`);
    });
}

import { ExecutorList } from "@airlock/api";
import { plainText } from "@airlock/terminal-text";
import { Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { requestExitCodesHelp } from "../../context/exit-codes.ts";
import { connect } from "../../instance/connect.ts";
import { parseExecutorName } from "../../options/name-arguments.ts";
import { printJson } from "../../terminal/print-json.ts";

export function executorsDrainCommand(context: CommandContext): Command {
  return new Command("drain")
    .description("Drain an executor: it finishes its running jobs and takes no new ones")
    .argument("<NAME>", "the executor's name, from `airlock executors list`", parseExecutorName)
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
A drained executor stays connected until its process is stopped. \`airlock executors resume NAME\` lets it take jobs
again.

Example:
  airlock executors drain build-7
${requestExitCodesHelp}`,
    )
    .action(async (name: string, options: { readonly json?: boolean }) => {
      const client = await connect(context);
      const path = `executors/${encodeURIComponent(name)}/drain`;
      const executor = await client.json(ExecutorList.shape.executors.element, path, { method: "POST" });
      if (options.json) return printJson(context, executor);
      const running = executor.runningJobs.length;
      const jobs = running === 1 ? "1 job" : `${running} jobs`;
      context.stdout.write(`executor ${plainText(executor.name)} is draining: ${jobs} still running\n`);
    });
}

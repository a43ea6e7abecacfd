import { ExecutorList } from "@airlock/api";
import { plainText } from "@airlock/terminal-text";
import { Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { requestExitCodesHelp } from "../../context/exit-codes.ts";
import { connect } from "../../instance/connect.ts";
import { parseExecutorName } from "../../options/name-arguments.ts";
import { printJson } from "../../terminal/print-json.ts";

export function executorsResumeCommand(context: CommandContext): Command {
  return new Command("resume")
    .description("Let a paused or drained executor take jobs again")
    .argument("<NAME>", "the executor's name, from `airlock executors list`", parseExecutorName)
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
An executor that drains because of a signal or a limit of its own exits, and cannot be resumed. Start it again.

Example:
  airlock executors resume build-7
${requestExitCodesHelp}`,
    )
    .action(async (name: string, options: { readonly json?: boolean }) => {
      const client = await connect(context);
      const path = `executors/${encodeURIComponent(name)}/resume`;
      const executor = await client.json(ExecutorList.shape.executors.element, path, { method: "POST" });
      if (options.json) return printJson(context, executor);
      context.stdout.write(`executor ${plainText(executor.name)} takes jobs again\n`);
    });
}

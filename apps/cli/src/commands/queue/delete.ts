import { plainText } from "@airlock/terminal-text";
import { Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { exitCodes, requestExitCodesHelp } from "../../context/exit-codes.ts";
import { connect } from "../../instance/connect.ts";
import { parseQueueName } from "../../options/name-arguments.ts";
import { confirm, isInteractive } from "../../terminal/confirm.ts";
import { printJson } from "../../terminal/print-json.ts";

export function queueDeleteCommand(context: CommandContext): Command {
  return new Command("delete")
    .alias("rm")
    .description("Delete a queue that has no jobs and no executor tokens")
    .argument("<NAME>", "the queue's name, from `airlock queue list`", parseQueueName)
    .option("-y, --yes", "do not ask")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Secrets that only the queue's jobs can use are kept. On a terminal, the command asks first.

Examples:
  airlock queue delete nightly
  airlock queue delete nightly --yes
${requestExitCodesHelp}`,
    )
    .action(async (name: string, { yes, json }: { readonly yes?: boolean; readonly json?: boolean }) => {
      const client = await connect(context);
      if (!yes && isInteractive(context) && !(await confirm(context, `Delete the queue ${plainText(name)}?`))) {
        context.stderr.write("nothing changed\n");
        return context.setExitCode(exitCodes.failure);
      }
      await client.request(`queues/${encodeURIComponent(name)}`, { method: "DELETE" });
      if (json) printJson(context, { name, deleted: true });
      else context.stdout.write(`queue ${plainText(name)} deleted\n`);
    });
}

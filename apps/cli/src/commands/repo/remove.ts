import { plainText } from "@airlock/terminal-text";
import { Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { exitCodes, requestExitCodesHelp } from "../../context/exit-codes.ts";
import { connect } from "../../instance/connect.ts";
import { parseRepositoryName } from "../../options/name-arguments.ts";
import { confirm, isInteractive } from "../../terminal/confirm.ts";
import { printJson } from "../../terminal/print-json.ts";

export function repoRemoveCommand(context: CommandContext): Command {
  return new Command("remove")
    .alias("rm")
    .description("Remove a repository from the instance, with its mirror; its source stays as it is")
    .argument("<NAME>", "the repository's name, from `airlock repo list`", parseRepositoryName)
    .option("-y, --yes", "do not ask")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Finished jobs keep their logs and artifacts. Jobs that still wait can no longer check it out.
On a terminal, the command asks first.

Examples:
  airlock repo remove git.example.com/team/app
  airlock repo remove git.example.com/team/app --yes
${requestExitCodesHelp}`,
    )
    .action(async (name: string, { yes, json }: { readonly yes?: boolean; readonly json?: boolean }) => {
      const client = await connect(context);
      if (!yes && isInteractive(context) && !(await confirm(context, `Remove the repository ${plainText(name)}?`))) {
        context.stderr.write("nothing changed\n");
        return context.setExitCode(exitCodes.failure);
      }
      await client.request(`repositories/${encodeURIComponent(name)}`, { method: "DELETE" });
      if (json) printJson(context, { name, removed: true });
      else context.stdout.write(`repository ${plainText(name)} removed\n`);
    });
}

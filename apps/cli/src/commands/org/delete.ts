import { plainText } from "@airlock/terminal-text";
import { Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { exitCodes, requestExitCodesHelp } from "../../context/exit-codes.ts";
import { connect } from "../../instance/connect.ts";
import { parseOrganizationName } from "../../options/name-arguments.ts";
import { confirm, isInteractive } from "../../terminal/confirm.ts";
import { printJson } from "../../terminal/print-json.ts";

export function orgDeleteCommand(context: CommandContext): Command {
  return new Command("delete")
    .alias("rm")
    .description("Delete an organization that has no secrets and no jobs that have not ended")
    .argument("<NAME>", "the organization's name, from `airlock org list`", parseOrganizationName)
    .option("-y, --yes", "do not ask")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Its members are removed from it, and its access to repositories ends. Finished jobs stay until their retention ends, and
only administrators see them. The name can't be used again. On a terminal, the command asks first.

Examples:
  airlock org delete crew
  airlock org delete crew --yes
${requestExitCodesHelp}`,
    )
    .action(async (name: string, { yes, json }: { readonly yes?: boolean; readonly json?: boolean }) => {
      const client = await connect(context);
      if (!yes && isInteractive(context) && !(await confirm(context, `Delete the organization ${plainText(name)}?`))) {
        context.stderr.write("nothing changed\n");
        return context.setExitCode(exitCodes.failure);
      }
      await client.request(`organizations/${name}`, { method: "DELETE" });
      if (json) printJson(context, { name, deleted: true });
      else context.stdout.write(`organization ${plainText(name)} deleted\n`);
    });
}

import { plainText } from "@airlock/terminal-text";
import { Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { requestExitCodesHelp } from "../../context/exit-codes.ts";
import { readCredentials } from "../../instance/credentials.ts";
import { printJson } from "../../terminal/print-json.ts";
import { formatTable } from "../../terminal/table.ts";

export function instanceListCommand(context: CommandContext): Command {
  return new Command("list")
    .alias("ls")
    .description("List the instances that you are logged in to")
    .option("--json", "print JSON, without the tokens")
    .addHelpText("after", `\nExample:\n  airlock instance list\n${requestExitCodesHelp}`)
    .action(async ({ json }: { readonly json?: boolean }) => {
      const { current, instances } = await readCredentials(context.env);
      if (json) {
        return printJson(context, {
          instances: instances.map(({ name, url }) => ({ name, url, current: name === current })),
        });
      }
      if (instances.length === 0) {
        context.stderr.write("no instances; log in with `airlock login URL`\n");
        return;
      }
      const rows = instances.map(({ name, url }) => [plainText(name), name === current ? "yes" : "-", plainText(url)]);
      context.stdout.write(formatTable(["NAME", "CURRENT", "ADDRESS"], rows));
    });
}

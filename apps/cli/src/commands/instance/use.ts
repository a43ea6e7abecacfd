import { plainText } from "@airlock/terminal-text";
import { Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { requestExitCodesHelp } from "../../context/exit-codes.ts";
import { findInstance, readCredentials, writeCredentials } from "../../instance/credentials.ts";
import { parseInstanceChoice } from "../../options/instance-argument.ts";
import { printJson } from "../../terminal/print-json.ts";

export function instanceUseCommand(context: CommandContext): Command {
  return new Command("use")
    .description("Choose the instance that commands use")
    .argument("<NAME>", "name or address of the instance, from `airlock instance list`", parseInstanceChoice)
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
A single command uses another one with AIRLOCK_INSTANCE=NAME.

Example:
  airlock instance use work
${requestExitCodesHelp}`,
    )
    .action(async (choice: string, { json }: { readonly json?: boolean }) => {
      const credentials = await readCredentials(context.env);
      const { name, url } = findInstance(credentials, choice);
      await writeCredentials(context.env, { ...credentials, current: name });
      if (json) printJson(context, { name, url, current: true });
      else context.stdout.write(`commands use ${plainText(name)} (${plainText(url)})\n`);
    });
}

import { plainText } from "@airlock/terminal-text";
import { Command } from "commander";
import type { CommandContext } from "../context/command-context.ts";
import { UsageError } from "../context/command-error.ts";
import { requestExitCodesHelp } from "../context/exit-codes.ts";
import { currentInstance, findInstance, readCredentials, writeCredentials } from "../instance/credentials.ts";
import { parseInstanceChoice } from "../options/instance-argument.ts";
import { printJson } from "../terminal/print-json.ts";

export function logoutCommand(context: CommandContext): Command {
  return new Command("logout")
    .description("Forget the access token of an instance")
    .argument("[NAME]", "name or address of the instance; default: the current one", parseInstanceChoice)
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
The token stays valid, because an access token can't revoke access tokens. Revoke it on the account page of the web UI.

Examples:
  airlock logout
  airlock logout work
${requestExitCodesHelp}`,
    )
    .action(async (choice: string | undefined, { json }: { readonly json?: boolean }) => {
      const credentials = await readCredentials(context.env);
      const stored = choice === undefined ? currentInstance(credentials) : findInstance(credentials, choice);
      if (!stored) throw new UsageError("no instance is the current one", "Give a name from `airlock instance list`.");
      await writeCredentials(context.env, {
        current: credentials.current === stored.name ? null : credentials.current,
        instances: credentials.instances.filter((other) => other !== stored),
      });
      if (json) return printJson(context, { name: stored.name, url: stored.url, forgotten: true });
      context.stdout.write(`token of ${plainText(stored.name)} forgotten\n`);
      context.stderr.write(`it stays valid until you revoke it at ${plainText(new URL("account", stored.url).href)}\n`);
    });
}

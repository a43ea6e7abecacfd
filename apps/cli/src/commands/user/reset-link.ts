import { PasswordLink } from "@airlock/api";
import { plainText } from "@airlock/terminal-text";
import { Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { requestExitCodesHelp } from "../../context/exit-codes.ts";
import { connect } from "../../instance/connect.ts";
import { parseUserName } from "../../options/name-arguments.ts";
import { printJson } from "../../terminal/print-json.ts";

export function userResetLinkCommand(context: CommandContext): Command {
  return new Command("reset-link")
    .description("Create a one-time link with which a user sets a password")
    .argument("<NAME>", "the user's name", parseUserName)
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
The link is printed once, on standard output, and works once. An earlier link becomes invalid. Give it only to the user.

Example:
  airlock user reset-link ann
${requestExitCodesHelp}`,
    )
    .action(async (name: string, { json }: { readonly json?: boolean }) => {
      const client = await connect(context);
      const { token, expiresAt } = await client.json(PasswordLink, `users/${name}/password-link`, { method: "POST" });
      // Browsers don't send the fragment, so servers and proxies never log the token.
      const link = new URL(`password#token=${encodeURIComponent(token)}`, client.connection.url).href;
      if (json) return printJson(context, { link, expiresAt });
      context.stderr.write(`the link for ${name} is valid once, until ${plainText(expiresAt)}\n`);
      context.stdout.write(`${link}\n`);
    });
}

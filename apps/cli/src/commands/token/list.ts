import { AccessTokenList } from "@airlock/api";
import { plainText } from "@airlock/terminal-text";
import { Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { requestExitCodesHelp } from "../../context/exit-codes.ts";
import { connect } from "../../instance/connect.ts";
import { parseUserName } from "../../options/name-arguments.ts";
import { printJson } from "../../terminal/print-json.ts";
import { relativeTime } from "../../terminal/relative-time.ts";
import { formatTable } from "../../terminal/table.ts";

export function tokenListCommand(context: CommandContext): Command {
  return new Command("list")
    .alias("ls")
    .description("List a user's access tokens; needs the administrator's token")
    .requiredOption("--user <NAME>", "whose tokens", parseUserName)
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
An access token can't list access tokens. Users see their own on the account page of the web UI.

Example:
  airlock token list --user ann
${requestExitCodesHelp}`,
    )
    .action(async ({ user, json }: { readonly user: string; readonly json?: boolean }) => {
      const client = await connect(context);
      const list = await client.json(AccessTokenList, `users/${user}/tokens`);
      if (json) return printJson(context, list);
      if (list.tokens.length === 0) {
        context.stderr.write(`${user} has no access tokens\n`);
        return;
      }
      const now = new Date();
      const rows = list.tokens.map((token) => [
        String(token.id),
        plainText(token.name),
        token.scopes.join(", "),
        relativeTime(token.createdAt, now),
        token.lastUsedAt === null ? "never" : relativeTime(token.lastUsedAt, now),
        plainText(token.expiresAt ?? "never"),
      ]);
      context.stdout.write(formatTable(["ID", "NAME", "SCOPES", "CREATED", "USED", "EXPIRES"], rows));
    });
}

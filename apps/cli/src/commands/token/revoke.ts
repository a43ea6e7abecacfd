import { Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { requestExitCodesHelp } from "../../context/exit-codes.ts";
import { connect } from "../../instance/connect.ts";
import { parseUserName } from "../../options/name-arguments.ts";
import { parseAccessTokenId } from "../../options/number-arguments.ts";
import { printJson } from "../../terminal/print-json.ts";

export function tokenRevokeCommand(context: CommandContext): Command {
  return new Command("revoke")
    .description("End a user's access token at once; needs the administrator's token")
    .argument("<ID>", "the token's number, from `airlock token list`", parseAccessTokenId)
    .requiredOption("--user <NAME>", "whose token", parseUserName)
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
An access token can't revoke access tokens. Users revoke their own on the account page of the web UI.

Example:
  airlock token revoke 7 --user ann
${requestExitCodesHelp}`,
    )
    .action(async (id: number, { user, json }: { readonly user: string; readonly json?: boolean }) => {
      const client = await connect(context);
      await client.request(`users/${user}/tokens/${id}`, { method: "DELETE" });
      if (json) printJson(context, { id, user, revoked: true });
      else context.stdout.write(`access token ${id} of ${user} revoked\n`);
    });
}

import { UserView } from "@airlock/api";
import { Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { requestExitCodesHelp } from "../../context/exit-codes.ts";
import { connect } from "../../instance/connect.ts";
import { parseUserName } from "../../options/name-arguments.ts";
import { printJson } from "../../terminal/print-json.ts";
import { printUsers } from "./print-user.ts";

export function userShowCommand(context: CommandContext): Command {
  return new Command("show")
    .description("Show a user")
    .argument("<NAME>", "the user's name", parseUserName)
    .option("--json", "print JSON")
    .addHelpText("after", `\nExample:\n  airlock user show ann\n${requestExitCodesHelp}`)
    .action(async (name: string, { json }: { readonly json?: boolean }) => {
      const client = await connect(context);
      const user = await client.json(UserView, `users/${name}`);
      if (json) printJson(context, user);
      else printUsers(context, [user]);
    });
}

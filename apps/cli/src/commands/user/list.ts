import { UserList } from "@airlock/api";
import { plainText } from "@airlock/terminal-text";
import { Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { requestExitCodesHelp } from "../../context/exit-codes.ts";
import { connect } from "../../instance/connect.ts";
import { type AccountListOptions, accountSearch, addAccountListOptions } from "../../options/account-list-options.ts";
import { printJson } from "../../terminal/print-json.ts";
import { printUsers } from "./print-user.ts";

export function userListCommand(context: CommandContext): Command {
  return addAccountListOptions(new Command("list").alias("ls").description("List users by name"))
    .addHelpText(
      "after",
      `\nExamples:\n  airlock user list\n  airlock user list --text lee --limit 10\n${requestExitCodesHelp}`,
    )
    .action(async (options: AccountListOptions) => {
      const client = await connect(context);
      const list = await client.json(UserList, `users?${accountSearch(options)}`);
      if (options.json) return printJson(context, list);
      if (list.users.length === 0) {
        context.stderr.write("no users; create one with `airlock user create NAME`\n");
        return;
      }
      printUsers(context, list.users);
      if (list.next !== null) context.stderr.write(`more users: add --after ${plainText(list.next)}\n`);
    });
}

import { OrganizationList } from "@airlock/api";
import { plainText } from "@airlock/terminal-text";
import { Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { requestExitCodesHelp } from "../../context/exit-codes.ts";
import { connect } from "../../instance/connect.ts";
import { type AccountListOptions, accountSearch, addAccountListOptions } from "../../options/account-list-options.ts";
import { printJson } from "../../terminal/print-json.ts";
import { printOrganizations } from "./print-organization.ts";

export function orgListCommand(context: CommandContext): Command {
  return addAccountListOptions(new Command("list").alias("ls").description("List the organizations that you see"))
    .addHelpText(
      "after",
      `\nExamples:\n  airlock org list\n  airlock org list --text crew --json\n${requestExitCodesHelp}`,
    )
    .action(async (options: AccountListOptions) => {
      const client = await connect(context);
      const list = await client.json(OrganizationList, `organizations?${accountSearch(options)}`);
      if (options.json) return printJson(context, list);
      if (list.organizations.length === 0) {
        context.stderr.write("no organizations\n");
        return;
      }
      printOrganizations(context, list.organizations);
      if (list.next !== null) context.stderr.write(`more organizations: add --after ${plainText(list.next)}\n`);
    });
}

import { type SiteRole, siteRoles, UserView } from "@airlock/api";
import { Command, Option } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { requestExitCodesHelp } from "../../context/exit-codes.ts";
import { connect } from "../../instance/connect.ts";
import { parseDisplayName, parseNewName } from "../../options/name-arguments.ts";
import { printJson } from "../../terminal/print-json.ts";

interface Options {
  readonly role: SiteRole;
  readonly displayName?: string;
  readonly json?: boolean;
}

export function userCreateCommand(context: CommandContext): Command {
  return new Command("create")
    .description("Create a user, who has no password yet")
    .argument("<NAME>", "the user's name, which is also a namespace and can't be changed", parseNewName)
    .addOption(new Option("--role <ROLE>", "role on the instance").choices(siteRoles).default("member"))
    .option("--display-name <TEXT>", "name for people to read", parseDisplayName)
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
The user sets a password with the link of \`airlock user reset-link NAME\`.

Examples:
  airlock user create ann --display-name "Ann Lee"
  airlock user create root-of-ops --role administrator
${requestExitCodesHelp}`,
    )
    .action(async (name: string, { role, displayName, json }: Options) => {
      const client = await connect(context);
      const user = await client.json(UserView, "users", {
        method: "POST",
        body: { name, role, ...(displayName === undefined ? {} : { displayName }) },
      });
      if (json) return printJson(context, user);
      context.stdout.write(`user ${name} created\n`);
      context.stderr.write(`to set a password: airlock user reset-link ${name}\n`);
    });
}

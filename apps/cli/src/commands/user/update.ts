import { type SiteRole, siteRoles, type UpdateUserRequest, UserView } from "@airlock/api";
import { Argument, Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { requestExitCodesHelp } from "../../context/exit-codes.ts";
import { connect } from "../../instance/connect.ts";
import { parseUserName } from "../../options/name-arguments.ts";
import { printJson } from "../../terminal/print-json.ts";

interface Options {
  readonly json?: boolean;
}

export function userSetRoleCommand(context: CommandContext): Command {
  return new Command("set-role")
    .description("Change a user's role on the instance")
    .argument("<NAME>", "the user's name", parseUserName)
    .addArgument(new Argument("<ROLE>", "the new role").choices(siteRoles))
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
The last administrator can't lose the role.

Examples:
  airlock user set-role ann administrator
  airlock user set-role ann member
${requestExitCodesHelp}`,
    )
    .action((name: string, role: SiteRole, { json }: Options) =>
      update(context, name, { role }, json, `user ${name} is ${role === "member" ? "a member" : "an administrator"}`),
    );
}

export function userDisableCommand(context: CommandContext): Command {
  return new Command("disable")
    .description("Disable a user, who can no longer sign in; jobs and secrets stay")
    .argument("<NAME>", "the user's name", parseUserName)
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
All sessions of the user end, and the user's access tokens are refused.

Example:
  airlock user disable ann
${requestExitCodesHelp}`,
    )
    .action((name: string, { json }: Options) =>
      update(context, name, { disabled: true }, json, `user ${name} disabled`),
    );
}

export function userEnableCommand(context: CommandContext): Command {
  return new Command("enable")
    .description("Let a disabled user sign in again")
    .argument("<NAME>", "the user's name", parseUserName)
    .option("--json", "print JSON")
    .addHelpText("after", `\nExample:\n  airlock user enable ann\n${requestExitCodesHelp}`)
    .action((name: string, { json }: Options) =>
      update(context, name, { disabled: false }, json, `user ${name} enabled`),
    );
}

async function update(
  context: CommandContext,
  name: string,
  body: UpdateUserRequest,
  json: boolean | undefined,
  done: string,
): Promise<void> {
  const client = await connect(context);
  const user = await client.json(UserView, `users/${name}`, { method: "PATCH", body });
  if (json) printJson(context, user);
  else context.stdout.write(`${done}\n`);
}

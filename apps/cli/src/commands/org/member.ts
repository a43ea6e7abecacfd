import { MemberList, type OrganizationRole, organizationRoles } from "@airlock/api";
import { plainText } from "@airlock/terminal-text";
import { Argument, Command, Option } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { requestExitCodesHelp } from "../../context/exit-codes.ts";
import { connect } from "../../instance/connect.ts";
import { type AccountListOptions, accountSearch, addAccountListOptions } from "../../options/account-list-options.ts";
import { parseOrganizationName, parseUserName } from "../../options/name-arguments.ts";
import { printJson } from "../../terminal/print-json.ts";
import { formatTable } from "../../terminal/table.ts";

interface Options {
  readonly json?: boolean;
}

/** `airlock org member`, with its own verbs. */
export function orgMemberCommand(context: CommandContext): Command {
  return new Command("member")
    .description("Members of an organization")
    .addCommand(listCommand(context))
    .addCommand(addCommand(context))
    .addCommand(setRoleCommand(context))
    .addCommand(removeCommand(context));
}

function listCommand(context: CommandContext): Command {
  return addAccountListOptions(new Command("list").alias("ls").description("List the members by name"))
    .argument("<ORGANIZATION>", "the organization's name", parseOrganizationName)
    .addHelpText("after", `\nExample:\n  airlock org member list crew\n${requestExitCodesHelp}`)
    .action(async (organization: string, options: AccountListOptions) => {
      const client = await connect(context);
      const list = await client.json(MemberList, `organizations/${organization}/members?${accountSearch(options)}`);
      if (options.json) return printJson(context, list);
      if (list.members.length === 0) {
        context.stderr.write(`no members; add one with \`airlock org member add ${organization} USER\`\n`);
        return;
      }
      const rows = list.members.map(({ user, role, displayName }) => [
        plainText(user),
        role,
        plainText(displayName || "-"),
      ]);
      context.stdout.write(formatTable(["USER", "ROLE", "DISPLAY NAME"], rows));
      if (list.next !== null) context.stderr.write(`more members: add --after ${plainText(list.next)}\n`);
    });
}

function addCommand(context: CommandContext): Command {
  return withMember(new Command("add").description("Add a user to an organization"))
    .addOption(new Option("--role <ROLE>", "role in the organization").choices(organizationRoles).default("member"))
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
If the user is a member already, the role is changed.

Examples:
  airlock org member add crew ann
  airlock org member add crew ben --role owner
${requestExitCodesHelp}`,
    )
    .action((organization: string, user: string, { role, json }: Options & { readonly role: OrganizationRole }) =>
      setMember(context, { organization, user, role }, json),
    );
}

function setRoleCommand(context: CommandContext): Command {
  return withMember(new Command("set-role").description("Change the role of a member"))
    .addArgument(new Argument("<ROLE>", "the new role").choices(organizationRoles))
    .option("--json", "print JSON")
    .addHelpText("after", `\nExample:\n  airlock org member set-role crew ann viewer\n${requestExitCodesHelp}`)
    .action((organization: string, user: string, role: OrganizationRole, { json }: Options) =>
      setMember(context, { organization, user, role }, json),
    );
}

function removeCommand(context: CommandContext): Command {
  return withMember(new Command("remove").alias("rm").description("Remove a member from an organization"))
    .option("--json", "print JSON")
    .addHelpText("after", `\nExample:\n  airlock org member remove crew ann\n${requestExitCodesHelp}`)
    .action(async (organization: string, user: string, { json }: Options) => {
      const client = await connect(context);
      await client.request(`organizations/${organization}/members/${user}`, { method: "DELETE" });
      if (json) printJson(context, { organization, user, removed: true });
      else context.stdout.write(`${user} removed from ${organization}\n`);
    });
}

function withMember(command: Command): Command {
  return command
    .argument("<ORGANIZATION>", "the organization's name", parseOrganizationName)
    .argument("<USER>", "the user's name", parseUserName);
}

async function setMember(
  context: CommandContext,
  member: { readonly organization: string; readonly user: string; readonly role: OrganizationRole },
  json: boolean | undefined,
): Promise<void> {
  const { organization, user, role } = member;
  const client = await connect(context);
  await client.request(`organizations/${organization}/members/${user}`, { method: "PUT", body: { role } });
  if (json) printJson(context, member);
  else context.stdout.write(`${user} is ${role === "owner" ? "an" : "a"} ${role} of ${organization}\n`);
}

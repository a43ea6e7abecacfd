import { OrganizationView } from "@airlock/api";
import { Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { requestExitCodesHelp } from "../../context/exit-codes.ts";
import { connect } from "../../instance/connect.ts";
import { parseDisplayName, parseNewName } from "../../options/name-arguments.ts";
import { printJson } from "../../terminal/print-json.ts";

interface Options {
  readonly displayName?: string;
  readonly json?: boolean;
}

export function orgCreateCommand(context: CommandContext): Command {
  return new Command("create")
    .description("Create an organization, which has no members yet")
    .argument("<NAME>", "the organization's name, which is also a namespace and can't be changed", parseNewName)
    .option("--display-name <TEXT>", "name for people to read", parseDisplayName)
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Examples:
  airlock org create crew --display-name "The crew"
  airlock org member add crew ann --role owner
${requestExitCodesHelp}`,
    )
    .action(async (name: string, { displayName, json }: Options) => {
      const client = await connect(context);
      const organization = await client.json(OrganizationView, "organizations", {
        method: "POST",
        body: { name, ...(displayName === undefined ? {} : { displayName }) },
      });
      if (json) return printJson(context, organization);
      context.stdout.write(`organization ${name} created\n`);
    });
}

import { OrganizationView } from "@airlock/api";
import { Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { requestExitCodesHelp } from "../../context/exit-codes.ts";
import { connect } from "../../instance/connect.ts";
import { parseOrganizationName } from "../../options/name-arguments.ts";
import { printJson } from "../../terminal/print-json.ts";
import { printOrganizations } from "./print-organization.ts";

export function orgShowCommand(context: CommandContext): Command {
  return new Command("show")
    .description("Show an organization")
    .argument("<NAME>", "the organization's name", parseOrganizationName)
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `\nExamples:\n  airlock org show crew\n  airlock org member list crew\n${requestExitCodesHelp}`,
    )
    .action(async (name: string, { json }: { readonly json?: boolean }) => {
      const client = await connect(context);
      const organization = await client.json(OrganizationView, `organizations/${name}`);
      if (json) printJson(context, organization);
      else printOrganizations(context, [organization]);
    });
}

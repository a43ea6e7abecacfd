import { RepositoryView } from "@airlock/api";
import { plainText } from "@airlock/terminal-text";
import { Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { requestExitCodesHelp } from "../../context/exit-codes.ts";
import { connect } from "../../instance/connect.ts";
import { parseRepositoryName } from "../../options/name-arguments.ts";
import { printJson } from "../../terminal/print-json.ts";

export function repoRefreshCommand(context: CommandContext): Command {
  return new Command("refresh")
    .description("Fetch a repository now, and wait until that is done")
    .argument("<NAME>", "the repository's name, from `airlock repo list`", parseRepositoryName)
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
The instance also fetches a repository before it submits a job on it. This command shows whether that works.

Example:
  airlock repo refresh git.example.com/team/app
${requestExitCodesHelp}`,
    )
    .action(async (name: string, options: { readonly json?: boolean }) => {
      const client = await connect(context);
      const path = `repositories/${encodeURIComponent(name)}/refresh`;
      const repository = await client.json(RepositoryView, path, { method: "POST" });
      if (options.json) return printJson(context, repository);
      const head = repository.head === null ? "" : `; HEAD is ${repository.head.slice(0, 12)}`;
      context.stdout.write(`repository ${plainText(repository.name)} fetched${head}\n`);
    });
}

import { RepositoryView } from "@airlock/api";
import { plainText } from "@airlock/terminal-text";
import { Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { requestExitCodesHelp } from "../../context/exit-codes.ts";
import { connect } from "../../instance/connect.ts";
import { addRepository, repositoryUrl } from "../../instance/resolve-repository.ts";
import { parseRepositoryName } from "../../options/name-arguments.ts";
import { printJson } from "../../terminal/print-json.ts";
import { ProgressLine } from "../../terminal/progress-line.ts";

interface Options {
  readonly name?: string;
  readonly wait: boolean;
  readonly json?: boolean;
}

export function repoAddCommand(context: CommandContext): Command {
  return new Command("add")
    .description("Add a repository to the instance, and wait until it has been fetched")
    .argument("<URL_OR_PATH>", "https, ssh, git or file URL, user@host:path, or a path if the instance allows it")
    .option("--name <NAME>", "name that jobs use for it; default: taken from the URL", parseRepositoryName)
    .option("--no-wait", "do not wait for the first fetch")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Examples:
  airlock repo add https://git.example.com/team/app.git
  airlock repo add . --name app
${requestExitCodesHelp}`,
    )
    .action(async (text: string, options: Options) => {
      const client = await connect(context);
      const url = await repositoryUrl(text, context.cwd);
      const body = { url, ...(options.name === undefined ? {} : { name: options.name }) };
      using progress = new ProgressLine(context.stderr);
      const repository = options.wait
        ? await addRepository(client, body, { directory: context.cwd, progress: (line) => progress.show(line) })
        : await client.json(RepositoryView, "repositories", { method: "POST", body });
      progress.clear();
      if (options.json) printJson(context, repository);
      else context.stdout.write(`${plainText(repository.name)}\n`);
    });
}

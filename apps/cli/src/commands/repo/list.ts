import { RepositoryList } from "@airlock/api";
import { formatBytes } from "@airlock/job";
import { plainText } from "@airlock/terminal-text";
import { Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { requestExitCodesHelp } from "../../context/exit-codes.ts";
import { connect } from "../../instance/connect.ts";
import { painter } from "../../terminal/paint.ts";
import { printJson } from "../../terminal/print-json.ts";
import { relativeTime } from "../../terminal/relative-time.ts";
import { formatTable } from "../../terminal/table.ts";

export function repoListCommand(context: CommandContext): Command {
  return new Command("list")
    .alias("ls")
    .description("List the repositories of the instance")
    .option("--json", "print JSON")
    .addHelpText("after", `\nExample:\n  airlock repo list\n${requestExitCodesHelp}`)
    .action(async (options: { readonly json?: boolean }) => {
      const client = await connect(context);
      const list = await client.json(RepositoryList, "repositories");
      if (options.json) return printJson(context, list);
      if (list.repositories.length === 0) {
        context.stderr.write("no repositories yet; add one with `airlock repo add URL_OR_PATH`\n");
        return;
      }
      const paint = painter(context.stdout);
      const now = new Date();
      const rows = list.repositories.map((repository) => [
        plainText(repository.name),
        repository.state === "failed" ? paint("red", "failed") : repository.state,
        repository.head?.slice(0, 8) ?? "-",
        repository.fetchedAt === null ? "-" : relativeTime(repository.fetchedAt, now),
        repository.sizeBytes === null ? "-" : formatBytes(repository.sizeBytes),
        plainText(repository.error ? `${repository.url}: ${repository.error}` : repository.url),
      ]);
      context.stdout.write(formatTable(["NAME", "STATE", "HEAD", "FETCHED", "SIZE", "URL"], rows));
    });
}

import { ExecutorTokenList } from "@airlock/api";
import { plainText } from "@airlock/terminal-text";
import { Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { requestExitCodesHelp } from "../../context/exit-codes.ts";
import { connect } from "../../instance/connect.ts";
import { parseQueueName } from "../../options/name-arguments.ts";
import { printJson } from "../../terminal/print-json.ts";
import { relativeTime } from "../../terminal/relative-time.ts";
import { formatTable } from "../../terminal/table.ts";

/** More names would make the table too wide. `--json` has all. */
const shownExecutors = 3;

interface Options {
  readonly queue?: string;
  readonly json?: boolean;
}

export function executorTokenListCommand(context: CommandContext): Command {
  return new Command("list")
    .alias("ls")
    .description("List executor tokens, with the executors that use each")
    .option("--queue <NAME>", "only tokens of this queue", parseQueueName)
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `\nExamples:\n  airlock executor-token list\n  airlock executor-token list --queue nightly\n${requestExitCodesHelp}`,
    )
    .action(async ({ queue, json }: Options) => {
      const client = await connect(context);
      const { tokens } = await client.json(ExecutorTokenList, "executor-tokens");
      const chosen = tokens.filter((token) => queue === undefined || token.queue === queue);
      if (json) return printJson(context, { tokens: chosen });
      if (chosen.length === 0) {
        context.stderr.write(
          "no executor tokens; create one with `airlock executor-token create NAME --queue QUEUE`\n",
        );
        return;
      }
      const now = new Date();
      const rows = chosen.map((token) => [
        String(token.id),
        plainText(token.name),
        plainText(token.queue),
        relativeTime(token.createdAt, now),
        token.lastUsedAt === null ? "never" : relativeTime(token.lastUsedAt, now),
        token.expiresAt === null ? "never" : plainText(token.expiresAt),
        executorNames(token.executors.map(({ name }) => name)),
      ]);
      context.stdout.write(formatTable(["ID", "NAME", "QUEUE", "CREATED", "USED", "EXPIRES", "EXECUTORS"], rows));
    });
}

function executorNames(names: readonly string[]): string {
  const more = names.length - shownExecutors;
  return [...names.slice(0, shownExecutors).map(plainText), ...(more > 0 ? [`${more} more`] : [])].join(", ");
}

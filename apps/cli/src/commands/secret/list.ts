import { SecretList } from "@airlock/api";
import { plainText } from "@airlock/terminal-text";
import { Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { requestExitCodesHelp } from "../../context/exit-codes.ts";
import { connect } from "../../instance/connect.ts";
import { printJson } from "../../terminal/print-json.ts";
import { relativeTime } from "../../terminal/relative-time.ts";
import { formatTable } from "../../terminal/table.ts";
import { addScopeFlags, type ScopeFlags } from "./secret-scope.ts";

export function secretListCommand(context: CommandContext): Command {
  return addScopeFlags(new Command("list"))
    .alias("ls")
    .description("List secrets, without their values")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `\nExamples:\n  airlock secret list\n  airlock secret list --namespace team-a\n${requestExitCodesHelp}`,
    )
    .action(async (options: ScopeFlags & { readonly json?: boolean }) => {
      const client = await connect(context);
      const { secrets } = await client.json(SecretList, "secrets");
      const chosen = secrets.filter(
        ({ namespace, queue }) =>
          (options.namespace === undefined || namespace === options.namespace) &&
          (options.queue === undefined || queue === options.queue),
      );
      if (options.json) return printJson(context, { secrets: chosen });
      if (chosen.length === 0) {
        context.stderr.write("no secrets yet; set one with `airlock secret set NAME`\n");
        return;
      }
      const now = new Date();
      const rows = chosen.map((secret) => [
        plainText(secret.name),
        plainText(secret.namespace ?? "(all)"),
        plainText(secret.queue ?? "(all)"),
        relativeTime(secret.updatedAt, now),
        secret.lastUsedAt === null ? "never" : relativeTime(secret.lastUsedAt, now),
        plainText(secret.description),
      ]);
      context.stdout.write(formatTable(["NAME", "NAMESPACE", "QUEUE", "SET", "USED", "DESCRIPTION"], rows));
    });
}

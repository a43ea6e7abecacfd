import { type AuditEntryView, AuditPage } from "@airlock/api";
import { plainText } from "@airlock/terminal-text";
import { Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { requestExitCodesHelp } from "../../context/exit-codes.ts";
import { connect } from "../../instance/connect.ts";
import { parsePageSize, parsePositive } from "../../options/number-arguments.ts";
import { painter } from "../../terminal/paint.ts";
import { printJson } from "../../terminal/print-json.ts";
import { formatTable } from "../../terminal/table.ts";
import { type AuditFilters, addAuditFilters, auditSearch } from "./audit-filters.ts";

interface Options extends AuditFilters {
  readonly before?: number;
  readonly limit: number;
  readonly json?: boolean;
}

export function auditListCommand(context: CommandContext): Command {
  const command = new Command("list").description("Show who did what, newest first");
  return addAuditFilters(command)
    .option("--before <ID>", "only entries older than this one, for the next page", parsePositive)
    .option("--limit <N>", "at most this many, up to 200", parsePageSize, 50)
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Administrators see all entries. Owners see those about their organizations and their own account.

Examples:
  airlock audit list --action session --since 1d
  airlock audit list --actor ann --namespace crew
  airlock audit list --job 42 --json | jq '.entries[]'
${requestExitCodesHelp}`,
    )
    .action(async ({ json, ...options }: Options) => {
      const client = await connect(context);
      const page = await client.json(AuditPage, `audit?${auditSearch(options)}`);
      if (json) return printJson(context, page);
      if (page.entries.length === 0) {
        context.stderr.write("no entries\n");
        return;
      }
      const header = ["TIME", "ACTION", "BY", "WITH", "FROM", "NAMESPACE", "TARGET"];
      context.stdout.write(formatTable(header, page.entries.map(toRow)));
      if (page.next !== null) {
        context.stderr.write(painter(context.stdout)("dim", `more entries: add --before ${page.next}\n`));
      }
    });
}

function toRow(entry: AuditEntryView): string[] {
  const { target, job, credential } = entry;
  const about = [target && `${target.kind} ${target.name}`, job !== null && `job ${job}`].filter(Boolean).join(", ");
  return [
    entry.at.replace("T", " ").replace(/\.\d+Z$/, "Z"),
    entry.action,
    plainText(entry.actor || "-"),
    plainText(credential === null ? entry.via : `${entry.via} ${credential}`),
    plainText(entry.address ?? "-"),
    plainText(entry.namespace ?? "-"),
    plainText(about || "-"),
  ];
}

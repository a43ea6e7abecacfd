import { once } from "node:events";
import { Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { requestExitCodesHelp } from "../../context/exit-codes.ts";
import { connect } from "../../instance/connect.ts";
import { type AuditFilters, addAuditFilters, auditSearch } from "./audit-filters.ts";

export function auditExportCommand(context: CommandContext): Command {
  const command = new Command("export").description("Print all entries up to now, oldest first, as lines of JSON");
  return addAuditFilters(command)
    .addHelpText(
      "after",
      `
The export is itself an entry of the audit log.

Examples:
  airlock audit export --since 30d > audit.jsonl
  airlock audit export --action session.refused | jq -r .address | sort | uniq -c
${requestExitCodesHelp}`,
    )
    .action(async (filters: AuditFilters) => {
      const client = await connect(context);
      const headers = { accept: "application/x-ndjson, */*" };
      const { body } = await client.request(`audit/export?${auditSearch(filters)}`, { headers });
      // The instance escapes characters that control a terminal.
      for await (const bytes of body ?? []) {
        if (!context.stdout.write(bytes)) await once(context.stdout, "drain");
      }
    });
}

import { QueueList } from "@airlock/api";
import { formatDuration } from "@airlock/job";
import { plainText } from "@airlock/terminal-text";
import { Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { requestExitCodesHelp } from "../../context/exit-codes.ts";
import { connect } from "../../instance/connect.ts";
import { printJson } from "../../terminal/print-json.ts";
import { formatTable } from "../../terminal/table.ts";

export function queueListCommand(context: CommandContext): Command {
  return new Command("list")
    .alias("ls")
    .description("List the queues and how many jobs wait in them")
    .option("--json", "print JSON")
    .addHelpText("after", `\nExample:\n  airlock queue list\n${requestExitCodesHelp}`)
    .action(async (options: { readonly json?: boolean }) => {
      const client = await connect(context);
      const list = await client.json(QueueList, "queues");
      if (options.json) return printJson(context, list);
      const rows = list.queues.map((queue) => [
        plainText(queue.name),
        String(queue.queued),
        String(queue.processing),
        queue.oldestQueuedMs === null ? "-" : formatDuration(queue.oldestQueuedMs),
        String(queue.maxAttempts),
        formatDuration(queue.leaseMs),
        queue.maxWaitMs === null ? "-" : formatDuration(queue.maxWaitMs),
        queue.allowUnenforced ? "allowed" : "no",
      ]);
      context.stdout.write(
        formatTable(["NAME", "QUEUED", "RUNNING", "OLDEST", "ATTEMPTS", "LEASE", "MAX WAIT", "UNENFORCED"], rows),
      );
    });
}

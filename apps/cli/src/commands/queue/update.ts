import { QueueView } from "@airlock/api";
import { plainText } from "@airlock/terminal-text";
import { Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { requestExitCodesHelp } from "../../context/exit-codes.ts";
import { connect } from "../../instance/connect.ts";
import { parseQueueName } from "../../options/name-arguments.ts";
import { printJson } from "../../terminal/print-json.ts";
import { addQueueSettingsFlags, type QueueSettingsFlags, queueSettings } from "./queue-settings-flags.ts";

type Options = QueueSettingsFlags & { readonly json?: boolean };

export function queueUpdateCommand(context: CommandContext): Command {
  return addQueueSettingsFlags(new Command("update"))
    .description("Change a queue's settings; omitted settings keep their values")
    .argument("<NAME>", "the queue's name, from `airlock queue list`", parseQueueName)
    .option("--json", "print JSON")
    .addHelpText("after", `\nExample:\n  airlock queue update nightly --limit 20 --weight 3\n${requestExitCodesHelp}`)
    .action(async (name: string, { json, ...flags }: Options) => {
      const client = await connect(context);
      const path = `queues/${encodeURIComponent(name)}`;
      const queue = await client.json(QueueView, path, { method: "PATCH", body: queueSettings(flags) });
      if (json) printJson(context, queue);
      else context.stdout.write(`queue ${plainText(queue.name)} updated\n`);
    });
}

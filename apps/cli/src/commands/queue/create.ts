import { type CreateQueueRequest, QueueView } from "@airlock/api";
import { plainText } from "@airlock/terminal-text";
import { Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { requestExitCodesHelp } from "../../context/exit-codes.ts";
import { connect } from "../../instance/connect.ts";
import { parseQueueName } from "../../options/name-arguments.ts";
import { printJson } from "../../terminal/print-json.ts";
import { addQueueSettingsFlags, type QueueSettingsFlags, queueSettings } from "./queue-settings-flags.ts";

type Options = QueueSettingsFlags & { readonly json?: boolean };

export function queueCreateCommand(context: CommandContext): Command {
  return addQueueSettingsFlags(new Command("create"))
    .description("Create a queue")
    .argument("<NAME>", "lower-case letters, digits, '.', '_' and '-'", parseQueueName)
    .option("--json", "print JSON")
    .addHelpText("after", `\nExample:\n  airlock queue create nightly --max-attempts 5\n${requestExitCodesHelp}`)
    .action(async (name: string, { json, ...flags }: Options) => {
      const client = await connect(context);
      const body: CreateQueueRequest = { name, ...queueSettings(flags) };
      const queue = await client.json(QueueView, "queues", { method: "POST", body });
      if (json) printJson(context, queue);
      else context.stdout.write(`queue ${plainText(queue.name)} created\n`);
    });
}

import { type CreateQueueRequest, QueueView } from "@airlock/api";
import { parseDuration } from "@airlock/job";
import { Command, InvalidArgumentError } from "commander";
import type { CommandContext } from "../../command-context.ts";
import { requestExitCodesHelp } from "../../exit-codes.ts";
import { connect } from "../../instance/connect.ts";
import { plainText } from "../../terminal/plain-text.ts";
import { printJson } from "../../terminal/print-json.ts";
import { parsePositive } from "../number-arguments.ts";

interface Options {
  readonly maxAttempts?: number;
  readonly lease?: number;
  readonly json?: boolean;
}

export function queueCreateCommand(context: CommandContext): Command {
  return new Command("create")
    .description("Create a queue")
    .argument("<NAME>", "lower-case letters, digits, '.', '_' and '-'")
    .option("--max-attempts <N>", "how many attempts may end by Airlock's fault; default 3", parsePositive)
    .option("--lease <DURATION>", "how long an attempt lives without a heartbeat; default 15s", parseDurationFlag)
    .option("--json", "print JSON")
    .addHelpText("after", `\nExample:\n  airlock queue create nightly --max-attempts 5\n${requestExitCodesHelp}`)
    .action(async (name: string, { maxAttempts, lease, json }: Options) => {
      const client = await connect(context);
      const body: CreateQueueRequest = {
        name,
        ...(maxAttempts === undefined ? {} : { maxAttempts }),
        ...(lease === undefined ? {} : { leaseMs: lease }),
      };
      const queue = await client.json(QueueView, "queues", { method: "POST", body });
      if (json) printJson(context, queue);
      else context.stdout.write(`queue ${plainText(queue.name)} is there\n`);
    });
}

function parseDurationFlag(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined || ms === 0) throw new InvalidArgumentError("Write it as 15s or 1m30s.");
  return ms;
}

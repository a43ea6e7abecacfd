import { CreatedExecutorToken } from "@airlock/api";
import { Command } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { requestExitCodesHelp } from "../../context/exit-codes.ts";
import { connect } from "../../instance/connect.ts";
import { parseQueueName, parseTokenName } from "../../options/name-arguments.ts";
import { printJson } from "../../terminal/print-json.ts";
import { printToken } from "./print-token.ts";

interface Options {
  readonly queue: string;
  readonly json?: boolean;
}

export function executorTokenCreateCommand(context: CommandContext): Command {
  return new Command("create")
    .description("Create a token with which executors get jobs of one queue")
    .argument("<NAME>", "what the token is for, such as the machines that use it", parseTokenName)
    .requiredOption("--queue <NAME>", "the queue", parseQueueName)
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
The token is printed once, on standard output. Set it as EXECUTOR_FRONTEND_PASSWORD of the executors.

Examples:
  airlock executor-token create "rack 7" --queue nightly
  airlock executor-token create ci --queue default > executor-password
${requestExitCodesHelp}`,
    )
    .action(async (name: string, { queue, json }: Options) => {
      const client = await connect(context);
      const token = await client.json(CreatedExecutorToken, "executor-tokens", {
        method: "POST",
        body: { name, queue },
      });
      if (json) printJson(context, token);
      else printToken(context, token);
    });
}

import { CreatedExecutorToken } from "@airlock/api";
import { parseDuration } from "@airlock/job";
import { Command, InvalidArgumentError } from "commander";
import type { CommandContext } from "../../context/command-context.ts";
import { requestExitCodesHelp } from "../../context/exit-codes.ts";
import { connect } from "../../instance/connect.ts";
import { parseTokenId } from "../../options/number-arguments.ts";
import { printJson } from "../../terminal/print-json.ts";
import { printToken } from "./print-token.ts";

interface Options {
  readonly overlap?: number;
  readonly json?: boolean;
}

const longestOverlapMs = 90 * 86_400_000;

export function executorTokenRotateCommand(context: CommandContext): Command {
  return new Command("rotate")
    .description("Replace an executor token; the old one stays valid for a while")
    .argument("<ID>", "the token's number, from `airlock executor-token list`", parseTokenId)
    .option("--overlap <DURATION>", "how long the old token stays valid; default 1d", parseOverlap)
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
The new token is printed once, on standard output.

Examples:
  airlock executor-token rotate 7
  airlock executor-token rotate 7 --overlap 2h
${requestExitCodesHelp}`,
    )
    .action(async (id: number, { overlap, json }: Options) => {
      const client = await connect(context);
      const token = await client.json(CreatedExecutorToken, `executor-tokens/${id}/rotate`, {
        method: "POST",
        body: overlap === undefined ? {} : { overlapMs: overlap },
      });
      if (json) printJson(context, token);
      else printToken(context, token);
    });
}

function parseOverlap(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined || ms > longestOverlapMs)
    throw new InvalidArgumentError("Write it as 30m, 2h or 7d, at most 90d.");
  return ms;
}

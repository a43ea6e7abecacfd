import type { CreatedExecutorToken } from "@airlock/api";
import { plainText } from "@airlock/terminal-text";
import type { z } from "zod";
import type { CommandContext } from "../../context/command-context.ts";

/** Prints only the token on standard output, so that it can be redirected into a file. */
export function printToken(context: CommandContext, created: z.output<typeof CreatedExecutorToken>): void {
  context.stderr.write(
    `executor token ${created.id} for queue ${plainText(created.queue)} created; it is not shown again\n`,
  );
  context.stdout.write(`${plainText(created.token)}\n`);
}

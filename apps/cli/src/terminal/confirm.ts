import { once } from "node:events";
import { createInterface } from "node:readline/promises";
import type { CommandContext } from "../context/command-context.ts";
import { InterruptedError } from "../context/interrupt.ts";

/** Whether a person types the answers. */
export function isInteractive({ stdin, stderr }: Pick<CommandContext, "stdin" | "stderr">): boolean {
  return "isTTY" in stdin && stdin.isTTY === true && stderr.isTTY === true;
}

/** Asks a question; only y and yes mean yes. Ctrl-C rejects with {@link InterruptedError}. */
export async function confirm(
  { stdin, stderr }: Pick<CommandContext, "stdin" | "stderr">,
  question: string,
): Promise<boolean> {
  using lines = createInterface({ input: stdin, output: stderr });
  const answer = lines.question(`${question} [y/N] `);
  // The question stays unanswered when the input ends.
  const ended = once(lines, "close").then(() => "");
  const interrupted = once(lines, "SIGINT").then(() => {
    throw new InterruptedError("SIGINT");
  });
  return /^y(?:es)?$/i.test((await Promise.race([answer, ended, interrupted])).trim());
}

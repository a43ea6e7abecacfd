import { once } from "node:events";
import { createInterface } from "node:readline/promises";
import type { CommandContext } from "../context/command-context.ts";
import { InterruptedError } from "../context/interrupt.ts";

/** Asks a question; empty when the input ends without an answer. Ctrl-C rejects with {@link InterruptedError}. */
export async function ask(
  { stdin, stderr }: Pick<CommandContext, "stdin" | "stderr">,
  question: string,
): Promise<string> {
  using lines = createInterface({ input: stdin, output: stderr });
  const answer = lines.question(`${question} `);
  // The question stays unanswered when the input ends.
  const ended = once(lines, "close").then(() => "");
  const interrupted = once(lines, "SIGINT").then(() => {
    throw new InterruptedError("SIGINT");
  });
  return (await Promise.race([answer, ended, interrupted])).trim();
}

import type { CommandContext } from "../context/command-context.ts";
import { ask } from "./ask.ts";

/** Whether a person types the answers. */
export function isInteractive({ stdin, stderr }: Pick<CommandContext, "stdin" | "stderr">): boolean {
  return "isTTY" in stdin && stdin.isTTY === true && stderr.isTTY === true;
}

/** Asks a question; only y and yes mean yes. Ctrl-C rejects like `ask`. */
export async function confirm(
  { stdin, stderr }: Pick<CommandContext, "stdin" | "stderr">,
  question: string,
): Promise<boolean> {
  return /^y(?:es)?$/i.test(await ask({ stdin, stderr }, `${question} [y/N]`));
}

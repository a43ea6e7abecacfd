import type { ReadStream } from "node:tty";
import type { CommandContext } from "../context/command-context.ts";
import { InterruptedError } from "../context/interrupt.ts";

export function asTerminal(stdin: CommandContext["stdin"]): ReadStream | undefined {
  return "isTTY" in stdin && stdin.isTTY === true && "setRawMode" in stdin ? (stdin as ReadStream) : undefined;
}

/** Reads a line from the terminal without showing it. Ctrl-C rejects with {@link InterruptedError}. */
export async function readHidden(
  terminal: ReadStream,
  { stderr }: Pick<CommandContext, "stderr">,
  what: string,
): Promise<string> {
  stderr.write(`${what} (hidden; press Enter to finish): `);
  terminal.setRawMode(true);
  let value = "";
  try {
    for await (const chunk of terminal) {
      for (const key of String(chunk)) {
        if (key === "\r" || key === "\n" || key === "\u0004") return value;
        if (key === "\u0003") throw new InterruptedError("SIGINT");
        value = key === "\u007f" || key === "\b" ? value.slice(0, -1) : value + key;
      }
    }
    return value;
  } finally {
    terminal.setRawMode(false);
    terminal.pause();
    stderr.write("\n");
  }
}

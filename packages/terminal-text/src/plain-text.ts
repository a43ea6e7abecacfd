import { TerminalParser } from "./terminal-parser.ts";

/** Turns untrusted text (names, messages, revisions) into one line without control sequences for the terminal. */
export function plainText(text: string): string {
  let shown = "";
  const space = () => {
    if (!shown.endsWith(" ")) shown += " ";
  };
  const parser = new TerminalParser({
    print: (part) => {
      for (const [index, word] of part.split("\t").entries()) {
        if (index > 0) space();
        shown += word;
      }
    },
    newline: space,
    carriageReturn: space,
    backspace: () => {},
    eraseLine: () => {},
  });
  parser.writeText(text);
  return shown;
}

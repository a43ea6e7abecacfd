import { TerminalParser } from "./terminal-parser.ts";

/** Untrusted text (names, messages, revisions) on one line, without anything that a terminal would obey. */
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

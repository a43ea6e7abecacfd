import { marked, type Tokens } from "marked";
import type { HelpDocument } from "./read-documents.ts";

/** A block of shell commands in a document. */
export interface CommandBlock {
  readonly file: string;
  readonly script: string;
  /** Why a test can't run it, from a comment before it: `<!-- not run: needs a registry -->`. */
  readonly notRun: string | null;
}

const mark = /^<!-- not run: (.+?) -->\s*$/s;

export function readCommands({ file, tokens }: Pick<HelpDocument, "file" | "tokens">): readonly CommandBlock[] {
  const blocks: CommandBlock[] = [];
  let reason: string | null = null;
  marked.walkTokens([...tokens], (token) => {
    if (token.type === "html") reason = mark.exec(token.raw.trim())?.[1] ?? null;
    else if (token.type === "code") {
      const { lang, text } = token as Tokens.Code;
      if (lang === "sh") blocks.push({ file, script: text, notRun: reason });
      reason = null;
    } else if (token.type !== "space") reason = null;
  });
  return blocks;
}

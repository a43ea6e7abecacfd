import { globSync } from "node:fs";
import path from "node:path";
import { marked, type Tokens } from "marked";
import { navigation, unlisted } from "./navigation.ts";
import type { HelpDocument } from "./read-documents.ts";
import { resolveLink } from "./resolve-link.ts";

/** Dead links, and documents that no page of the site shows. */
export function findProblems(documents: readonly HelpDocument[], root: string): readonly string[] {
  const problems = documents.flatMap((document) => deadLinks(documents, document, root));
  const listed = new Set(navigation.flatMap(({ files }) => files));
  for (const found of globSync("docs/**/*.md", { cwd: root })) {
    const file = found.replaceAll(path.sep, "/");
    if (listed.has(file) || unlisted.some((pattern) => path.matchesGlob(file, pattern))) continue;
    problems.push(`${file}: add it to the navigation of the site, in scripts/help/navigation.ts`);
  }
  return problems;
}

function deadLinks(documents: readonly HelpDocument[], document: HelpDocument, root: string): readonly string[] {
  const problems: string[] = [];
  marked.walkTokens([...document.tokens], (token) => {
    if (token.type !== "link") return;
    const link = resolveLink(documents, document, (token as Tokens.Link).href, root);
    if (link.kind === "dead") problems.push(`${document.file}: ${link.problem}`);
  });
  return problems;
}

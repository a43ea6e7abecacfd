import { globSync, readFileSync } from "node:fs";
import path from "node:path";
import { marked, type Token, type Tokens } from "marked";
import { headingIds } from "./heading-id.ts";
import { homeFile, navigation, unlisted } from "./navigation.ts";

export interface Heading {
  readonly depth: number;
  readonly id: string;
  /** Without Markdown. */
  readonly text: string;
}

export interface HelpDocument {
  /** Path relative to the root of the repository. */
  readonly file: string;
  /** Path in the site below `/help/`. Empty for the first page. */
  readonly slug: string;
  readonly title: string;
  readonly tokens: readonly Token[];
  /** By their tokens, in the document's order. */
  readonly headings: ReadonlyMap<Token, Heading>;
}

/** Reads all documents of the site, first those of the navigation. */
export function readDocuments(root: string): readonly HelpDocument[] {
  const listed = navigation.flatMap(({ files }) => files);
  const others = globSync([...unlisted], { cwd: root })
    .map((file) => file.replaceAll(path.sep, "/"))
    .filter((file) => !listed.includes(file));
  return [...listed, ...others.sort()].map((file) => readDocument(root, file));
}

function readDocument(root: string, file: string): HelpDocument {
  const tokens = marked.lexer(readFileSync(path.join(root, file), "utf8"));
  const idOf = headingIds();
  const headings = new Map<Token, Heading>();
  marked.walkTokens(tokens, (token) => {
    if (token.type !== "heading") return;
    const text = plainText((token as Tokens.Heading).tokens);
    headings.set(token, { depth: (token as Tokens.Heading).depth, id: idOf(text), text });
  });
  const first = headings.values().next().value;
  if (first?.depth !== 1) throw new Error(`${file}: must begin with a heading of the first level`);
  return { file, slug: slugOf(file), title: first.text, tokens, headings };
}

function slugOf(file: string): string {
  if (file === homeFile) return "";
  if (file.startsWith("docs/decisions/")) {
    return file === "docs/decisions/README.md" ? "decisions" : file.slice("docs/".length, -".md".length);
  }
  return file === "SECURITY.md" ? "reporting-vulnerabilities" : path.basename(file, ".md").toLowerCase();
}

/** The text of tokens without Markdown. */
export function plainText(tokens: readonly Token[]): string {
  return tokens.map(textOf).join("");
}

function textOf(token: Token): string {
  if (token.type === "html") return " ";
  if (token.type === "table") {
    const { header, rows } = token as Tokens.Table;
    return [header, ...rows].map((cells) => `${cells.map((cell) => plainText(cell.tokens)).join(" ")}\n`).join("");
  }
  if (token.type === "list") return (token as Tokens.List).items.map((item) => `${plainText(item.tokens)}\n`).join("");
  if ("tokens" in token && token.tokens) return `${plainText(token.tokens)}${token.type === "paragraph" ? "\n" : ""}`;
  if (token.type === "br" || token.type === "space") return " ";
  return "text" in token ? unescapeText(String(token.text)) : "";
}

/** Tokens of text have characters of HTML escaped in some versions of the library. */
function unescapeText(text: string): string {
  return text
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&quot;", '"')
    .replaceAll("&#39;", "'")
    .replaceAll("&amp;", "&");
}

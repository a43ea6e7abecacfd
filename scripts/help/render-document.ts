import { Marked, type Token, type Tokens } from "marked";
import { type HelpDocument, plainText } from "./read-documents.ts";
import { resolveLink } from "./resolve-link.ts";

/** Its rows have ids, because the web UI links each error to its row. */
const errorsFile = "docs/errors.md";

/** Renders the content of a page. Raw HTML in documents is dropped, except line breaks. */
export function renderDocument(documents: readonly HelpDocument[], document: HelpDocument, root: string): string {
  let lastHeading = document.title;
  const marked = new Marked<string, string>({
    gfm: true,
    renderer: {
      heading(token) {
        const heading = document.headings.get(token as unknown as Token);
        if (!heading) throw new Error(`${document.file}: a heading is inside another element`);
        lastHeading = heading.text;
        const content = this.parser.parseInline(token.tokens);
        if (token.depth === 1) return `<h1 id="${heading.id}">${content}</h1>\n`;
        const label = escapeHtml(`Link to the section ${heading.text}`);
        return `<h${token.depth} id="${heading.id}">${content} <a class="anchor" href="#${heading.id}" aria-label="${label}">#</a></h${token.depth}>\n`;
      },
      link({ href, tokens }) {
        const content = this.parser.parseInline(tokens);
        const link = resolveLink(documents, document, href, root);
        if (link.kind === "source") return `<span class="source" title="${escapeHtml(link.file)}">${content}</span>`;
        if (link.kind === "dead") throw new Error(`${document.file}: ${link.problem}`);
        const relation = link.kind === "external" ? ' rel="noreferrer"' : "";
        return `<a href="${escapeHtml(link.href)}"${relation}>${content}</a>`;
      },
      code({ text, lang }) {
        if (lang === "mermaid") {
          const label = `Diagram of ${lastHeading}, in the notation of Mermaid`;
          return `<details class="diagram"><summary>${escapeHtml(label)}</summary><pre tabindex="0"><code>${escapeHtml(text)}</code></pre></details>\n`;
        }
        const copy = lang === "sh" || lang === "yaml" ? '<button type="button" class="copy" hidden>Copy</button>' : "";
        return `<div class="code"><pre tabindex="0"><code>${escapeHtml(text)}</code></pre>${copy}</div>\n`;
      },
      table(token) {
        return renderTable(token, lastHeading, document.file === errorsFile, (tokens) =>
          this.parser.parseInline(tokens),
        );
      },
      html({ text }) {
        return /^<br\s*\/?>$/.test(text.trim()) ? "<br>" : "";
      },
      image() {
        throw new Error(`${document.file}: the site has no images`);
      },
    },
  });
  return marked.parser([...document.tokens]);
}

/**
 * A table that scrolls on narrow screens, also with the keyboard.
 * @param rowIds Whether rows get the text of their first cell as an id.
 */
function renderTable(
  { header, rows }: Tokens.Table,
  title: string,
  rowIds: boolean,
  inline: (tokens: Token[]) => string,
): string {
  const head = header.map(({ tokens }) => {
    const content = inline(tokens);
    return content === "" ? "<td></td>" : `<th scope="col">${content}</th>`;
  });
  const hasHead = header.some(({ tokens }) => tokens.length > 0);
  const body = rows.map((cells) => {
    const id = rowIds ? ` id="${escapeHtml(plainText(cells[0]?.tokens ?? []))}"` : "";
    return `<tr${id}>${cells.map(({ tokens }) => `<td>${inline(tokens)}</td>`).join("")}</tr>\n`;
  });
  return `<div class="table" role="group" aria-label="${escapeHtml(`Table: ${title}`)}" tabindex="0"><table>${
    hasHead ? `<thead><tr>${head.join("")}</tr></thead>` : ""
  }<tbody>${body.join("")}</tbody></table></div>\n`;
}

export function escapeHtml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

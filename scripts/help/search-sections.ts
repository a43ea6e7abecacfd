import type { Token } from "marked";
import { type Heading, type HelpDocument, plainText } from "./read-documents.ts";
import { pageHref } from "./resolve-link.ts";

/** What the search finds: the text below one heading. */
export interface SearchSection {
  readonly id: number;
  readonly href: string;
  /** Title of the page. */
  readonly page: string;
  /** Title of the section. Empty for the text before the first section. */
  readonly section: string;
  readonly text: string;
}

/** The sections of all pages. Decisions are left out, because people search for how to do something. */
export function searchSections(documents: readonly HelpDocument[]): readonly SearchSection[] {
  const sections: SearchSection[] = [];
  for (const document of documents) {
    if (document.slug.startsWith("decisions/")) continue;
    let heading: Heading | null = null;
    let tokens: Token[] = [];
    const finish = () => {
      const text = plainText(tokens).replaceAll(/\s+/g, " ").trim();
      tokens = [];
      if (text === "" && heading === null) return;
      const page = pageHref(document.slug);
      sections.push({
        id: sections.length,
        href: heading ? `${page}#${heading.id}` : page,
        page: document.title,
        section: heading?.text ?? "",
        text,
      });
    };
    for (const token of document.tokens) {
      const next = document.headings.get(token);
      if (!next) tokens.push(token);
      else if (next.depth > 1) {
        finish();
        heading = next;
      }
    }
    finish();
  }
  return sections;
}

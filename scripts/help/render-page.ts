import { navigation } from "./navigation.ts";
import type { HelpDocument } from "./read-documents.ts";
import { escapeHtml, renderDocument } from "./render-document.ts";
import { pageHref } from "./resolve-link.ts";

/** Addresses of the files that every page loads. */
export interface PageAssets {
  readonly script: string;
  readonly style: string;
  /** The sections that the search reads. */
  readonly sections: string;
}

export function renderPage(
  documents: readonly HelpDocument[],
  document: HelpDocument,
  assets: PageAssets,
  root: string,
): string {
  const sections = [...document.headings.values()].filter(({ depth }) => depth === 2);
  const contents =
    sections.length < 2
      ? ""
      : `<nav class="side contents" aria-labelledby="contents"><h2 id="contents">On this page</h2><ul>${sections
          .map(({ id, text }) => `<li><a href="#${id}">${escapeHtml(text)}</a></li>`)
          .join("")}</ul></nav>`;
  const content = renderDocument(documents, document, root);
  const next = neighbour(documents, document, 1);
  const previous = neighbour(documents, document, -1);
  const steps = [
    previous && `<a rel="prev" href="${pageHref(previous.slug)}">← ${escapeHtml(previous.title)}</a>`,
    next && `<a rel="next" href="${pageHref(next.slug)}">${escapeHtml(next.title)} →</a>`,
  ].filter(Boolean);
  const footer = steps.length === 0 ? "" : `<nav class="steps" aria-label="Next pages">${steps.join("")}</nav>`;
  return shell(documents, document.slug, document.title, `<article>${content}</article>${footer}`, contents, assets);
}

export function renderMissingPage(documents: readonly HelpDocument[], assets: PageAssets): string {
  const content =
    '<article><h1>Page not found</h1><p>The help has no page at this address. Search for it, or go to <a href="/help">the first page</a>.</p></article>';
  return shell(documents, null, "Page not found", content, "", assets);
}

function neighbour(documents: readonly HelpDocument[], document: HelpDocument, step: 1 | -1): HelpDocument | undefined {
  const listed = navigation.flatMap(({ files }) => files);
  const index = listed.indexOf(document.file);
  if (index === -1) return undefined;
  return documents.find(({ file }) => file === listed[index + step]);
}

function shell(
  documents: readonly HelpDocument[],
  slug: string | null,
  title: string,
  content: string,
  contents: string,
  assets: PageAssets,
): string {
  const groups = navigation.map(({ title: group, files }) => {
    const links = files.map((file) => {
      const page = documents.find((candidate) => candidate.file === file);
      if (!page) throw new Error(`${file}: has no page`);
      const current = page.slug === slug ? ' aria-current="page"' : "";
      return `<li><a href="${pageHref(page.slug)}"${current}>${escapeHtml(page.title)}</a></li>`;
    });
    const id = `group-${group.toLowerCase()}`;
    return `<h2 id="${id}">${group}</h2><ul aria-labelledby="${id}">${links.join("")}</ul>`;
  });
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(title)} · Airlock help</title>
<link rel="icon" type="image/svg+xml" href="/favicon.svg">
<script src="/color-scheme.js"></script>
<link rel="stylesheet" href="${assets.style}">
<script type="module" src="${assets.script}"></script>
</head>
<body data-sections="${assets.sections}">
<a class="skip" href="#main">Skip to the content</a>
<header>
<button type="button" id="menu" aria-controls="pages" aria-expanded="false" hidden>Pages</button>
<a class="home" href="/help"><img src="/favicon.svg" alt="" width="24" height="24"><strong>airlock</strong> help</a>
<search id="search" hidden>
<label class="visually-hidden" for="query">Search the help</label>
<input type="search" id="query" placeholder="Search" autocomplete="off" spellcheck="false" maxlength="200" aria-describedby="found">
<p id="found" class="visually-hidden" role="status"></p>
<ul id="results" class="results" hidden></ul>
</search>
<button type="button" id="scheme" hidden></button>
<a class="application" href="/">Web UI</a>
</header>
<div class="columns">
<nav id="pages" class="side" aria-label="Pages">${groups.join("")}</nav>
<main id="main" tabindex="-1">${content}</main>
${contents}
</div>
</body>
</html>
`;
}

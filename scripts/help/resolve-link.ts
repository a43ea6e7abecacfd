import { existsSync } from "node:fs";
import path from "node:path";
import type { HelpDocument } from "./read-documents.ts";

export type ResolvedLink =
  | { readonly kind: "page"; readonly href: string }
  | { readonly kind: "external"; readonly href: string }
  /** A file of the repository that has no page. */
  | { readonly kind: "source"; readonly file: string }
  | { readonly kind: "dead"; readonly problem: string };

/** Finds what a link of a document leads to. */
export function resolveLink(
  documents: readonly HelpDocument[],
  from: HelpDocument,
  href: string,
  root: string,
): ResolvedLink {
  if (/^(?:https?|mailto):/.test(href)) return { kind: "external", href };
  const [target = "", anchor] = href.split("#", 2);
  const file = target === "" ? from.file : path.posix.join(path.posix.dirname(from.file), target);
  const document = documents.find((candidate) => candidate.file === file);
  if (!document) {
    if (existsSync(path.join(root, file))) return { kind: "source", file };
    return { kind: "dead", problem: `${href}: there is no file ${file}` };
  }
  if (anchor !== undefined && ![...document.headings.values()].some(({ id }) => id === anchor)) {
    return { kind: "dead", problem: `${href}: ${document.file} has no heading with the id "${anchor}"` };
  }
  return { kind: "page", href: `${pageHref(document.slug)}${anchor === undefined ? "" : `#${anchor}`}` };
}

export function pageHref(slug: string): string {
  return slug === "" ? "/help" : `/help/${slug}`;
}

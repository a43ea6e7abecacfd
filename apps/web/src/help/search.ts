import MiniSearch from "minisearch";
import { element } from "./elements.ts";

interface Section {
  readonly id: number;
  readonly href: string;
  readonly page: string;
  readonly section: string;
  readonly text: string;
}

interface Index {
  readonly sections: readonly Section[];
  readonly search: MiniSearch<Section>;
}

const mostResults = 12;

/** The search in all pages. Its index is loaded when somebody first uses the field. */
export function connectSearch(): void {
  const query = element("query", HTMLInputElement);
  const results = element("results", HTMLUListElement);
  const found = element("found", HTMLParagraphElement);
  element("search", HTMLElement).hidden = false;
  let index: Promise<Index> | undefined;
  const load = () => {
    index ??= loadIndex().catch((error: unknown) => {
      index = undefined;
      throw error;
    });
    return index;
  };

  const update = async () => {
    const words = query.value.trim();
    if (words === "") return close();
    let loaded: Index;
    try {
      loaded = await load();
    } catch {
      found.textContent = "The search could not be loaded. Check the connection to the instance.";
      return show([problem(found.textContent)]);
    }
    // The field may have changed while the index was loaded.
    if (query.value.trim() !== words) return;
    const hits = loaded.search.search(words).slice(0, mostResults);
    found.textContent = hits.length === 0 ? "No results" : `${hits.length} results`;
    if (hits.length === 0) return show([problem(`Nothing found for “${words}”`)]);
    const terms = hits.flatMap(({ terms }) => terms);
    show(hits.flatMap(({ id }) => loaded.sections[id] ?? []).map((section) => resultOf(section, terms)));
  };
  const show = (items: readonly HTMLLIElement[]) => {
    results.replaceChildren(...items);
    results.hidden = false;
  };
  const close = () => {
    results.hidden = true;
    results.replaceChildren();
    found.textContent = "";
  };

  query.addEventListener("focus", () => void load().catch(() => undefined));
  query.addEventListener("input", () => void update());
  document.addEventListener("keydown", (event) => {
    const typing = event.target instanceof HTMLElement && event.target.matches("input, textarea");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      query.focus();
    } else if (event.key === "Escape" && !results.hidden) {
      query.value = "";
      close();
      query.focus();
    } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && !results.hidden) move(event);
  });
  document.addEventListener("click", ({ target }) => {
    if (target instanceof Node && !element("search", HTMLElement).contains(target)) close();
  });

  const move = (event: KeyboardEvent) => {
    const stops: (Element | null)[] = [query, ...results.querySelectorAll("a")];
    const at = stops.indexOf(document.activeElement);
    if (at === -1) return;
    event.preventDefault();
    const next = stops[(at + (event.key === "ArrowDown" ? 1 : stops.length - 1)) % stops.length];
    if (next instanceof HTMLElement) next.focus();
  };
}

async function loadIndex(): Promise<Index> {
  const response = await fetch(document.body.dataset.sections ?? "");
  if (!response.ok) throw new Error(`the index of the search was answered ${response.status}`);
  const sections: Section[] = await response.json();
  const search = new MiniSearch<Section>({
    fields: ["section", "page", "text"],
    searchOptions: { boost: { section: 4, page: 2 }, prefix: true, combineWith: "AND" },
  });
  search.addAll(sections);
  return { sections, search };
}

function problem(words: string): HTMLLIElement {
  const item = document.createElement("li");
  item.textContent = words;
  return item;
}

function resultOf({ href, page, section, text }: Section, terms: readonly string[]): HTMLLIElement {
  const item = document.createElement("li");
  const link = document.createElement("a");
  link.href = href;
  const title = document.createElement("strong");
  title.textContent = section === "" ? page : section;
  const place = document.createElement("span");
  place.textContent = section === "" ? "" : page;
  const excerpt = document.createElement("small");
  excerpt.textContent = excerptOf(text, terms);
  link.append(title, " ", place, excerpt);
  item.append(link);
  return item;
}

/** About 120 characters around the first word that was searched for. */
function excerptOf(text: string, terms: readonly string[]): string {
  const lower = text.toLowerCase();
  const first = Math.min(...terms.map((term) => lower.indexOf(term)).filter((at) => at !== -1));
  const from = Number.isFinite(first) ? Math.max(0, first - 40) : 0;
  const start = from === 0 ? 0 : text.indexOf(" ", from) + 1;
  const part = text.slice(start, start + 120);
  return `${start > 0 ? "… " : ""}${part}${start + 120 < text.length ? " …" : ""}`;
}

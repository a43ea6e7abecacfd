import { useEffect, useMemo, useState } from "react";
import type { LineBuffer } from "./line-buffer.ts";
import { LogSearch, type Match, type SearchQuery } from "./search.ts";

/** The search pauses after each slice, and publishes its progress every `publishEveryMs`. */
const sliceMs = 10;
const linesPerLook = 1000;
const publishEveryMs = 150;

export interface SearchProgress {
  readonly search: LogSearch;
  readonly matches: readonly Match[];
  readonly done: boolean;
}

/**
 * Searches the buffer as it grows, in slices that keep the page responsive. `undefined` until the query has a first
 * result. `version` changes when the buffer does.
 */
export function useLogSearch(buffer: LineBuffer, version: number, query: SearchQuery): SearchProgress | undefined {
  const { text, matchCase } = query;
  const search = useMemo(
    () => (text === "" ? undefined : new LogSearch(buffer, { text, matchCase })),
    [buffer, text, matchCase],
  );
  const [progress, setProgress] = useState<SearchProgress>();

  // biome-ignore lint/correctness/useExhaustiveDependencies: each new version adds lines to search
  useEffect(() => {
    if (search === undefined) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let publishAt = performance.now() + publishEveryMs;
    const work = () => {
      const end = performance.now() + sliceMs;
      do search.advance(linesPerLook);
      while (!search.done && performance.now() < end);
      if (search.done || performance.now() >= publishAt) {
        setProgress({ search, matches: search.matches.slice(), done: search.done });
        publishAt = performance.now() + publishEveryMs;
      }
      if (!search.done) timer = setTimeout(work, 0);
    };
    work();
    return () => clearTimeout(timer);
  }, [search, version]);

  // Ignore the progress of the previous query.
  return progress?.search === search ? progress : undefined;
}

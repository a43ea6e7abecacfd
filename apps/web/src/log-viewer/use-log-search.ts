import { useEffect, useState } from "react";
import type { LineBuffer } from "./line-buffer.ts";
import { LogSearch, type Match, type SearchQuery } from "./search.ts";

const linesPerSlice = 20_000;

interface SearchProgress {
  readonly search: LogSearch;
  readonly matches: readonly Match[];
  readonly done: boolean;
}

/** Searches the buffer as it grows, in slices that leave the page responsive. `version` changes when the buffer does. */
export function useLogSearch(buffer: LineBuffer, version: number, { text, matchCase }: SearchQuery) {
  const [progress, setProgress] = useState<SearchProgress>();

  useEffect(() => {
    const search = text === "" ? undefined : new LogSearch(buffer, { text, matchCase });
    setProgress(search && { search, matches: search.matches, done: false });
  }, [buffer, text, matchCase]);

  const search = progress?.search;
  // biome-ignore lint/correctness/useExhaustiveDependencies: each new version brings lines to search
  useEffect(() => {
    if (search === undefined) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const work = () => {
      search.advance(linesPerSlice);
      setProgress({ search, matches: search.matches.slice(), done: search.done });
      if (!search.done) timer = setTimeout(work, 0);
    };
    work();
    return () => clearTimeout(timer);
  }, [search, version]);

  return progress;
}

import { useEffect, useState } from "react";

/**
 * Whether somebody looks at this tab, or did so within the last `graceMs`. Streams of unwatched tabs are given up: over
 * HTTP/1.1 a browser keeps six connections to the instance for all its tabs together, and forgotten tabs would use
 * them up.
 */
export function usePageWatched(graceMs = 30_000): boolean {
  const [watched, setWatched] = useState(() => !document.hidden);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const update = () => {
      clearTimeout(timer);
      if (document.hidden) timer = setTimeout(() => setWatched(false), graceMs);
      else setWatched(true);
    };
    document.addEventListener("visibilitychange", update);
    return () => {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", update);
    };
  }, [graceMs]);
  return watched;
}

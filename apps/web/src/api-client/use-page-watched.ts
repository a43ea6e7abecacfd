import { useEffect, useState } from "react";
import { useSessionLapse } from "./session-lapse.ts";

/**
 * Whether this tab is visible, or was within the last `graceMs`, and there is a session. Hidden tabs close their streams: over HTTP/1.1 a
 * browser opens at most six connections to the instance for all tabs together. Forgotten tabs would use them up.
 */
export function usePageWatched(graceMs = 30_000): boolean {
  const lapse = useSessionLapse();
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
  return watched && lapse === null;
}

import type { JobState } from "@airlock/job";
import { useEffect } from "react";

/** Sets the browser tab's title to `title · airlock`, and its icon to that of a job's state. */
export function usePageIdentity(title: string, state?: JobState): void {
  useEffect(() => {
    document.title = `${title} · airlock`;
  }, [title]);
  useEffect(() => {
    const icon = document.querySelector<HTMLLinkElement>('link[rel="icon"]');
    if (icon) icon.href = state === undefined ? "/favicon.svg" : `/favicon-${state}.svg`;
  }, [state]);
}

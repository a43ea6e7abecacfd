import { useSyncExternalStore } from "react";
import { serverNow } from "../api-client/server-clock.ts";

let now = serverNow();
let timer: ReturnType<typeof setInterval> | undefined;
const listeners = new Set<() => void>();

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  timer ??= setInterval(() => {
    now = serverNow();
    for (const each of listeners) each();
  }, 1000);
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

/**
 * The current time by the instance's clock, in ms since 1970, updated once a second. The page has a single timer for
 * it.
 */
export function useNow(): number {
  return useSyncExternalStore(subscribe, () => {
    // Without listeners the timer was stopped, so the stored value is outdated.
    if (timer === undefined) now = Math.max(now, Math.floor(serverNow() / 1000) * 1000);
    return now;
  });
}

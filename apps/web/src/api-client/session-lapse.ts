import { useSyncExternalStore } from "react";
import { ApiRequestError } from "./http.ts";

/** When the instance first reported that the session has ended, in ms since 1970; `null`: it goes on. */
let lapsedAt: number | null = null;
const listeners = new Set<() => void>();

function set(next: number | null): void {
  if (next === lapsedAt) return;
  lapsedAt = next;
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** When the session ended, in ms since 1970; `null`: it goes on. */
export function useSessionLapse(): number | null {
  return useSyncExternalStore(subscribe, () => lapsedAt);
}

/** To be called when there is a session again. */
export function endSessionLapse(): void {
  set(null);
}

/** Called with every error of every API request. A wrong password is also answered with 401, and ends no session. */
export function noteApiError(error: unknown): void {
  if (!(error instanceof ApiRequestError) || error.status !== 401 || error.code === "sign-in-failed") return;
  set(lapsedAt ?? Date.now());
}

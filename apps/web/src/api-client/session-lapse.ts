import { ApiRequestError } from "./http.ts";

type Listener = () => void;
const listeners = new Set<Listener>();

/** Calls `listener` whenever the instance reports that the session has expired. Returns the function to unsubscribe. */
export function onSessionLapse(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Called with every error of every API request. */
export function noteApiError(error: unknown): void {
  if (error instanceof ApiRequestError && error.status === 401) for (const listener of listeners) listener();
}

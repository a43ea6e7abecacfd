import { ApiRequestError } from "./http.ts";

type Listener = () => void;
const listeners = new Set<Listener>();

/** Calls `listener` whenever the instance reports that the session has expired. Returns the function to unsubscribe. */
export function onSessionLapse(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Called with every error of every API request. A wrong password is also answered with 401, and ends no session. */
export function noteApiError(error: unknown): void {
  if (!(error instanceof ApiRequestError) || error.status !== 401 || error.code === "sign-in-failed") return;
  for (const listener of listeners) listener();
}

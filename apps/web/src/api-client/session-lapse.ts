import { ApiRequestError } from "./http.ts";

type Listener = () => void;
const listeners = new Set<Listener>();

/** Calls `listener` whenever the instance says that nobody is logged in. Returns the way to stop. */
export function onSessionLapse(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Every error of the API passes here, whoever asked. */
export function noteApiError(error: unknown): void {
  if (error instanceof ApiRequestError && error.status === 401) for (const listener of listeners) listener();
}

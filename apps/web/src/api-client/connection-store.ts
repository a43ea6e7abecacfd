import { useSyncExternalStore } from "react";
import type { Connection } from "./event-stream.ts";

/** `idle`: this page follows no event stream. */
export type LiveState = Connection | "idle";

let state: LiveState = "idle";
const listeners = new Set<() => void>();

export function setLiveState(next: LiveState): void {
  if (next === state) return;
  state = next;
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function useLiveState(): LiveState {
  return useSyncExternalStore(subscribe, () => state);
}

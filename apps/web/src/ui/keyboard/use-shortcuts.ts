import { type RefObject, useEffect, useRef } from "react";
import { type KeyBindings, KeySequence } from "./shortcuts.ts";

/** Bindings of every component that is shown; of two for the same keys the later one counts. */
const registered = new Set<RefObject<KeyBindings>>();
/** One for the page: `g j` must not be taken for the `j` of another component. */
const sequence = new KeySequence();

function onKeyDown(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  const bindings: KeyBindings = Object.assign({}, ...[...registered].map((ref) => ref.current));
  const action = sequence.match(bindings, event.key, event.timeStamp);
  if (!action) return;
  event.preventDefault();
  action();
}

function isTyping(target: EventTarget | null): boolean {
  const places = "input, textarea, select, [contenteditable], [role=dialog], [role=listbox]";
  return target instanceof Element && target.closest(places) !== null;
}

/** Listens for shortcuts while the component is shown. Keys typed into a field or a dialog are none. */
export function useShortcuts(bindings: KeyBindings): void {
  const current = useRef(bindings);
  useEffect(() => {
    current.current = bindings;
  });
  useEffect(() => {
    if (registered.size === 0) document.addEventListener("keydown", onKeyDown);
    registered.add(current);
    return () => {
      registered.delete(current);
      if (registered.size === 0) document.removeEventListener("keydown", onKeyDown);
    };
  }, []);
}

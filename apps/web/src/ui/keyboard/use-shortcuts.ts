import { type RefObject, useEffect, useRef } from "react";
import { type KeyBindings, KeySequence } from "./shortcuts.ts";

/** Bindings of all mounted components. If two have the same keys, the later one wins. */
const registered = new Set<RefObject<KeyBindings>>();
/** Shared by the page, so that the `j` of `g j` does not trigger another component's `j`. */
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

/** Handles shortcuts while the component is mounted. Ignores keys typed into a field or a dialog. */
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

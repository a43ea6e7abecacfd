/** What the first line of a script says about its interpreter. */
export type ShellLine =
  /** Nothing. */
  | { readonly kind: "none" }
  /** A shell that executors of the base protocol have, with options that it also takes from `set`. */
  | { readonly kind: "shell"; readonly isBash: boolean; readonly options: string }
  /** Another interpreter, or a shell with other options. */
  | { readonly kind: "other" };

/** Reads a first line `#!…`. Executors of the base protocol take it for a comment. */
export function parseShellLine(line: string): ShellLine {
  if (!line.startsWith("#!")) return { kind: "none" };
  const [, name, options = ""] =
    /^#!\s*(?:\S*\/env\s+)?(?:\S*\/)?((?:ba|da)?sh)(?:\s+(-[aefnuvxC]+))?\s*$/.exec(line) ?? [];
  return name === undefined ? { kind: "other" } : { kind: "shell", isBash: name === "bash", options };
}

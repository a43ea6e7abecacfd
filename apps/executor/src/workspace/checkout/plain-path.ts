/**
 * Whether this is a relative path of ordinary components. Such a path can't lead elsewhere, and no tool interprets it.
 */
export function isPlainPath(path: string): boolean {
  return (
    path.length <= 1000 &&
    !hasControlCharacter(path) &&
    path.split("/").every((part) => !["", ".", ".."].includes(part))
  );
}

function hasControlCharacter(text: string): boolean {
  return [...text].some((character) => character < " " || character === "\x7f" || character === "\\");
}

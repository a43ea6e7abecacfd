const maximumLength = 244;

/** Why git refuses a name as a branch, or `undefined` if it takes it. The name has no `refs/heads/`. */
export function branchNameProblem(name: string): string | undefined {
  if (name === "") return "must not be empty";
  if (new TextEncoder().encode(name).length > maximumLength) return `is longer than ${maximumLength} bytes`;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: git refuses control characters.
  const character = /[\x00-\x20\x7f~^:?*[\\]/.exec(name)?.[0];
  if (character !== undefined) return `must not contain ${JSON.stringify(character)}`;
  if (name.includes("..") || name.includes("@{")) return 'must not contain ".." or "@{"';
  if (name === "@" || name === "HEAD" || name.startsWith("-")) return "is not a branch name";
  if (name.endsWith(".")) return "must not end with a dot";
  const parts = name.split("/");
  if (parts.some((part) => part === "")) return "must not begin or end with a slash, or have two in a row";
  if (parts.some((part) => part.startsWith(".") || part.endsWith(".lock"))) {
    return 'must not have a part that begins with a dot or ends with ".lock"';
  }
  return undefined;
}

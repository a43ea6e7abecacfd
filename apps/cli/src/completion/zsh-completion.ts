import type { CompletionEntry } from "./completion-table.ts";

/** A script for zsh that completes commands and options with their descriptions, and values of a fixed list. */
export function zshCompletion(table: readonly CompletionEntry[]): string {
  const known = table.flatMap(({ path }) => (path === "" ? [] : [`"${path}"`]));
  const items = table.map(({ path, children, options }) => {
    const all = [
      ...children.map(({ name, description }) => item(name, description)),
      ...options.flatMap(({ names, description }) => names.map((name) => item(name, description))),
    ];
    return `    "${path}") items=(${all.join(" ")}) ;;`;
  });
  const values = table.flatMap(({ path, options }) =>
    options
      .filter(({ takesValue }) => takesValue)
      .map(({ names, choices }) => {
        const places = names.map((name) => `"${path} ${name}"`).join("|");
        return `    ${places}) ${choices.length > 0 ? `compadd -- ${choices.join(" ")}` : "_files"}; return ;;`;
      }),
  );
  return `#compdef airlock
_airlock() {
  local at="" next index
  local -a items
  for ((index = 2; index < CURRENT; index++)); do
    # What follows -- belongs to another program.
    if [[ "\${words[index]}" == -- ]]; then
      _files
      return
    fi
    next="\${at:+$at }\${words[index]}"
    case "$next" in
      ${known.join("|")}) at="$next" ;;
    esac
  done
  case "$at \${words[CURRENT-1]}" in
${values.join("\n")}
  esac
  case "$at" in
${items.join("\n")}
  esac
  if [[ "\${words[CURRENT]}" == -* || "\${#items[(r)[^-]*]}" -gt 0 ]]; then
    _describe airlock items
  else
    _files
  fi
}
compdef _airlock airlock
`;
}

/** `NAME:DESCRIPTION` in single quotes. */
function item(name: string, description: string): string {
  const text = `${name}:${description}`.replaceAll("'", "'\\''");
  return `'${text}'`;
}

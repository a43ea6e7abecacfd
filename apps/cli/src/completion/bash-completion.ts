import type { CompletionEntry } from "./completion-table.ts";

/** A script for bash that completes commands, options, and values of a fixed list. Other values are file names. */
export function bashCompletion(table: readonly CompletionEntry[]): string {
  const known = table.flatMap(({ path }) => (path === "" ? [] : [`"${path}"`]));
  const words = table.map(({ path, children, options }) => {
    const all = [...children.map(({ name }) => name), ...options.flatMap(({ names }) => names)];
    return `    "${path}") words="${all.join(" ")}" ;;`;
  });
  const values = table.flatMap(({ path, options }) =>
    options
      .filter(({ takesValue }) => takesValue)
      .map(({ names, choices }) => {
        return `    ${names.map((name) => `"${path} ${name}"`).join("|")}) words="${choices.join(" ")}" ;;`;
      }),
  );
  return `# bash completion for airlock
_airlock() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}"
  local at="" words="" next index
  COMPREPLY=()
  for ((index = 1; index < COMP_CWORD; index++)); do
    # What follows -- belongs to another program.
    [[ "\${COMP_WORDS[index]}" == -- ]] && return
    next="\${at:+$at }\${COMP_WORDS[index]}"
    case "$next" in
      ${known.join("|")}) at="$next" ;;
    esac
  done
  case "$at" in
${words.join("\n")}
  esac
  # After an option with a value comes the value: one of a list, or a file name.
  case "$at $previous" in
${values.join("\n")}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _airlock airlock
`;
}

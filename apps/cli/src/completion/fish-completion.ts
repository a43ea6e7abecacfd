import type { CompletionEntry } from "./completion-table.ts";

/** A script for fish that completes commands and options with their descriptions, and values of a fixed list. */
export function fishCompletion(table: readonly CompletionEntry[]): string {
  const known = table.flatMap(({ path }) => (path === "" ? [] : [quote(path)]));
  const lines = table.flatMap(({ path, children, options }) => {
    const place = `complete -c airlock -n ${quote(`__airlock_at ${quote(path)}`)}`;
    return [
      ...children.map(({ name, description }) => `${place} -f -a ${quote(name)} -d ${quote(description)}`),
      ...options.map(({ names, description, takesValue, choices }) => {
        const flags = names.map((name) => (name.startsWith("--") ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`));
        const value = choices.length > 0 ? ` -x -a ${quote(choices.join(" "))}` : takesValue ? " -r" : "";
        return `${place} ${flags.join(" ")}${value} -d ${quote(description)}`;
      }),
    ];
  });
  return `# fish completion for airlock
function __airlock_at
  set -l at ''
  for word in (commandline -opc)[2..-1]
    # What follows -- belongs to another program.
    test "$word" = --; and return 1
    set -l next (string trim "$at $word")
    switch "$next"
      case ${known.join(" ")}
        set at "$next"
    end
  end
  test "$at" = "$argv[1]"
end
${lines.join("\n")}
`;
}

function quote(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}

import type { Command, Option } from "commander";

interface CompletionOption {
  /** `--state`, `-f`. */
  readonly names: readonly string[];
  readonly description: string;
  readonly takesValue: boolean;
  /** The values, if they are a fixed list. */
  readonly choices: readonly string[];
}

/** One command of the tree, as a completion script needs it. */
export interface CompletionEntry {
  /** The words after `airlock`: empty for the program itself, `job list` for a verb. */
  readonly path: string;
  readonly description: string;
  readonly children: readonly { readonly name: string; readonly description: string }[];
  readonly options: readonly CompletionOption[];
}

/** All commands of the tree, by their names and aliases. Commander has these definitions, but no completion. */
export function completionTable(program: Command): readonly CompletionEntry[] {
  return entriesOf(program, "");
}

function entriesOf(command: Command, path: string): readonly CompletionEntry[] {
  const help = command.createHelp();
  const children = help.visibleCommands(command).filter((child) => child.name() !== "help");
  const entry: CompletionEntry = {
    path,
    description: command.description(),
    children: children.flatMap((child) =>
      [child.name(), ...child.aliases()].map((name) => ({ name, description: child.description() })),
    ),
    options: help.visibleOptions(command).map(optionOf),
  };
  const below = children.flatMap((child) =>
    [child.name(), ...child.aliases()].flatMap((name) => entriesOf(child, path === "" ? name : `${path} ${name}`)),
  );
  return [entry, ...below];
}

function optionOf(option: Option): CompletionOption {
  return {
    names: [option.long, option.short].flatMap((name) => name ?? []),
    description: option.description,
    takesValue: option.required || option.optional,
    choices: option.argChoices ?? [],
  };
}

import { Argument, Command } from "commander";
import { bashCompletion } from "../completion/bash-completion.ts";
import { completionTable } from "../completion/completion-table.ts";
import { fishCompletion } from "../completion/fish-completion.ts";
import { zshCompletion } from "../completion/zsh-completion.ts";
import type { CommandContext } from "../context/command-context.ts";

const scripts = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion } as const;
type Shell = keyof typeof scripts;

export function completionCommand(context: CommandContext): Command {
  return new Command("completion")
    .description("Print a script with which a shell completes commands, options and their values")
    .addArgument(new Argument("<SHELL>", "the shell").choices(Object.keys(scripts)))
    .addHelpText(
      "after",
      `
Examples:
  source <(airlock completion bash)                                          in ~/.bashrc
  source <(airlock completion zsh)                                           in ~/.zshrc, after compinit
  airlock completion fish > ~/.config/fish/completions/airlock.fish

Exit codes:
  0    done
  2    the command line is wrong`,
    )
    .action((shell: Shell, _options: unknown, command: Command) => {
      const program = command.parent ?? command;
      context.stdout.write(scripts[shell](completionTable(program)));
    });
}

import { Command } from "commander";
import type { CommandContext } from "../context/command-context.ts";
import { becomeProgram } from "../programs/become-program.ts";

/** Passes everything after the word `executor` to the executor program unchanged, including `--help`. */
export function executorCommand(context: CommandContext): Command {
  return new Command("executor")
    .description("Run the executor (run, validate, …); the same as the command `executor`")
    .argument("[ARGS...]", "its arguments; see `airlock executor --help`")
    .helpOption(false)
    .allowUnknownOption()
    .passThroughOptions()
    .action(async (args: readonly string[]) => {
      context.setExitCode(await becomeProgram("executor", args, context.env));
    });
}

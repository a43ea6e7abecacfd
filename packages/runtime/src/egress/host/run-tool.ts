import { outputOf, ProgramError, systemEnvironment } from "@airlock/process";

export { ProgramError as ToolError, systemEnvironment as toolEnv };

/**
 * Runs a network tool with `input` as its standard input, and resolves to its output.
 * @throws {ProgramError} when it can't be started, exits with a code other than 0, or takes longer than 30 s.
 */
export async function runTool(command: readonly string[], input = ""): Promise<string> {
  // The list of all rules on a machine with many sandboxes is long.
  return await outputOf(command, { stdin: input, timeoutMs: 30_000, maxStdoutBytes: 16 * 2 ** 20 });
}

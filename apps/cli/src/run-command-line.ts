import { AirlockError, hideUrlCredentials } from "@airlock/job";
import { plainText } from "@airlock/terminal-text";
import { CommanderError } from "commander";
import { commandLine } from "./command-line.ts";
import type { CommandContext } from "./context/command-context.ts";
import { ReportError, UsageError } from "./context/command-error.ts";
import { exitCodes } from "./context/exit-codes.ts";
import { InterruptedError } from "./context/interrupt.ts";
import { RequestError } from "./instance/request-error.ts";
import { type Paint, painter } from "./terminal/paint.ts";

/** Runs `airlock ARGS`. Resolves when the command has ended. Sets the exit code unless it is 0. */
export async function runCommandLine(args: readonly string[], context: CommandContext): Promise<void> {
  try {
    await commandLine(context).parseAsync([...args], { from: "user" });
  } catch (error) {
    context.setExitCode(exitCodeOf(error, args));
    // Commander has already printed its message.
    if (!(error instanceof CommanderError)) {
      context.stderr.write(hideUrlCredentials(describeError(error, painter(context.stderr))));
    }
  }
}

/** Whether this command line's exit code is that of a job. */
function followsJob(args: readonly string[]): boolean {
  const end = args.indexOf("--");
  const options = end === -1 ? args : args.slice(0, end);
  return options.includes("--follow") || options.includes("--once");
}

function exitCodeOf(error: unknown, args: readonly string[]): number {
  if (error instanceof CommanderError && error.exitCode === 0) return exitCodes.ok;
  if (error instanceof InterruptedError) return exitCodes.interrupted;
  if (followsJob(args)) return exitCodes.failureWhileFollowing;
  if (error instanceof UsageError || error instanceof CommanderError) return exitCodes.usage;
  if (error instanceof ReportError && error.isUsage) return exitCodes.usage;
  if (args[0] === "run") return exitCodes.failureWhileFollowing;
  // The command line is all that a request is made from.
  return error instanceof RequestError && error.code === "invalid-request" ? exitCodes.usage : exitCodes.failure;
}

function describeError(error: unknown, paint: Paint): string {
  const prefix = paint("red", "error:");
  if (error instanceof InterruptedError) return "";
  // Its message is already formatted and safe.
  if (error instanceof ReportError) return `${error.message}\n`;
  if (error instanceof AirlockError) {
    const lines = [`${prefix} ${error.message.split("\n").map(plainText).join("\n")}`];
    if (error instanceof RequestError) {
      // If there is a single issue, it is already the message.
      const more = error.issues.filter((issue) => !issue.includes(error.message));
      lines.push(...more.map((issue) => `  ${plainText(issue)}`));
    }
    if (error.hint) lines.push(`  ${plainText(error.hint)}`);
    return lines.map((line) => `${line}\n`).join("");
  }
  // Not thrown on purpose, so this is a bug in Airlock. The stack shows where.
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return `${prefix} unexpected: ${text.split("\n").map(plainText).join("\n")}\n`;
}

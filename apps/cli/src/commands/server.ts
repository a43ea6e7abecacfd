import { Command } from "commander";
import type { CommandContext } from "../context/command-context.ts";
import { parseListen } from "../options/listen-argument.ts";
import { becomeProgram } from "../programs/become-program.ts";

export function serverCommand(context: CommandContext): Command {
  return new Command("server")
    .description("Run an instance: the HTTP API, the queues and the web UI")
    .option("--listen <HOST:PORT>", "default: AIRLOCK_LISTEN, else 127.0.0.1:7080", parseListen)
    .option("--data-dir <DIR>", "default: AIRLOCK_DATA_DIR, else .airlock")
    .addHelpText(
      "after",
      `
Examples:
  airlock server --listen 0.0.0.0:7080 --data-dir /var/lib/airlock
  AIRLOCK_DATABASE_URL=postgresql://… airlock server

All settings are environment variables; see docs/running.md.

Exit codes:
  0    stopped by a signal
  1    the instance could not start, or failed
  2    the command line is wrong`,
    )
    .action(async ({ listen, dataDir }: { readonly listen?: string; readonly dataDir?: string }) => {
      const env = {
        ...context.env,
        ...(listen === undefined ? {} : { AIRLOCK_LISTEN: listen }),
        ...(dataDir === undefined ? {} : { AIRLOCK_DATA_DIR: dataDir }),
      };
      context.setExitCode(await becomeProgram("instance", [], env));
    });
}

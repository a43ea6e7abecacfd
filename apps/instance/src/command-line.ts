import { Command } from "commander";
import { type ConfigFlags, settingNames } from "./config/instance-config.ts";

export interface CommandLineOptions {
  readonly version: string;
  readonly run: (flags: ConfigFlags) => Promise<void>;
  readonly migrate: () => Promise<void>;
}

/** The command `airlock-instance`. Throws commander's `CommanderError` instead of ending the process. */
export function commandLine({ version, run, migrate }: CommandLineOptions): Command {
  const program = new Command("airlock-instance")
    .description("Starts an Airlock instance: HTTP API, queues, storage, web UI.")
    .version(version, "-V, --version", "print the version")
    .option("--listen <HOST:PORT>", "address to listen on; port 0 chooses a free port (default: 127.0.0.1:7080)")
    .option("--data-dir <DIR>", "directory for tokens, repositories and the database (default: .airlock)")
    .helpOption("-h, --help", "print this")
    .addHelpText(
      "after",
      `
Examples:
  airlock-instance --listen 0.0.0.0:7080 --data-dir /var/lib/airlock
  AIRLOCK_DATABASE_URL=postgresql://airlock@db.example.com/airlock airlock-instance
  AIRLOCK_ALLOW_LOCAL_REPOSITORIES=true airlock-instance --listen '[::1]:7080'
  AIRLOCK_DATABASE_URL=postgresql://airlock@db.example.com/airlock airlock-instance migrate

Settings are environment variables, which docs/running.md describes. Flags override them:
${settingNames.map((name) => `  ${name}`).join("\n")}

Exit codes:
  0    stopped by a signal
  1    it could not start, or failed
  2    the command line is wrong`,
    )
    .showHelpAfterError("(see `airlock-instance --help`)")
    .exitOverride()
    .action(async ({ listen, dataDir }: { readonly listen?: string; readonly dataDir?: string }) => {
      await run({ listen, dataDirectory: dataDir });
    });
  program
    .command("migrate")
    .description("Migrates the database of AIRLOCK_DATABASE_URL to this version, and ends.")
    .action(migrate);
  return program;
}

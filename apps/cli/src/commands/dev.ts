import { Command } from "commander";
import type { CommandContext } from "../context/command-context.ts";
import { UsageError } from "../context/command-error.ts";
import { runDev } from "../dev/run-dev.ts";
import { parseListen } from "../options/listen-argument.ts";

interface Options {
  readonly listen?: string;
  readonly dataDir?: string;
  readonly repo?: string;
  readonly job?: string;
  readonly once?: boolean;
}

export function devCommand(context: CommandContext): Command {
  return new Command("dev")
    .description("Run an instance and an executor on this machine, until Ctrl-C")
    .option("--listen <HOST:PORT>", "default: AIRLOCK_LISTEN, else 127.0.0.1:7080", parseListen)
    .option("--data-dir <DIR>", "default: AIRLOCK_DATA_DIR, else .airlock")
    .option("--repo <URL_OR_PATH>", "add this repository to the instance; --job runs on it")
    .option("--job <FILE>", "submit this job file once everything is up, and print its log")
    .option("--once", "with --job: stop after the job and exit with its exit code")
    .addHelpText(
      "after",
      `
The other commands read the address and token from DATA_DIR/connection.json, which this command writes.
Logs are in DATA_DIR/logs. EXECUTOR_* variables configure the executor, AIRLOCK_* variables the instance.

Examples:
  airlock dev
  airlock dev --listen 127.0.0.1:0 --data-dir /tmp/airlock --repo .
  airlock dev --repo . --job job.yaml --once

Exit codes:
  0    stopped by Ctrl-C; with --once: the job completed
  1    the instance or executor did not start, or stopped unexpectedly
  2    the command line is wrong
With --once the exit code is the job's. The command's own exit codes are then:
  125  the instance or executor did not start, or stopped unexpectedly; or the command line is wrong
  130  stopped by Ctrl-C before the job ended`,
    )
    .action(async (options: Options) => {
      if (options.once && options.job === undefined) throw new UsageError("--once requires --job FILE");
      context.setExitCode(await runDev(context, options));
    });
}

import { AirlockError, errorMessage, isNoSpace } from "@airlock/job";
import { CommanderError } from "commander";
import { commandLine } from "./command-line.ts";
import { type ConfigFlags, parseConfig } from "./config/instance-config.ts";
import { startInstance, version } from "./instance.ts";
import { openDatabase } from "./store/database.ts";

/** Prints an error that the user can fix without its stack. Anything else is a bug and keeps its stack. */
function fail(error: unknown): never {
  // commander has already printed the problem, the help or the version.
  if (error instanceof CommanderError) process.exit(error.exitCode === 0 ? 0 : 2);
  if (!(error instanceof AirlockError) && isNoSpace(error)) {
    console.error(`airlock: ${errorMessage(error)}\n  Free space on that disk, and start the instance again.`);
  } else if (error instanceof AirlockError) {
    console.error(`airlock: ${error.message}${error.hint ? `\n  ${error.hint}` : ""}`);
  } else {
    console.error("airlock: internal error:", error);
  }
  process.exit(1);
}

const impatientAfterMs = 1000;

/**
 * Resolves at the first SIGTERM or SIGINT. A later Ctrl-C ends the process at once. A SIGINT right after the first
 * signal doesn't: a supervisor in the same terminal forwards the signal that both got.
 */
function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    let askedAt: number | null = null;
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      process.on(signal, () => {
        askedAt ??= Date.now();
        if (signal === "SIGINT" && Date.now() - askedAt > impatientAfterMs) process.exit(130);
        resolve();
      });
    }
  });
}

async function run(flags: ConfigFlags): Promise<void> {
  // Listen before the start, so that an interrupted start releases its resources.
  const stop = stopSignal();
  await using instance = await startInstance(parseConfig(process.env, flags));
  await Promise.race([stop, instance.failure]);
}

/** An instance does the same when it starts. A separate run lets an upgrade fail before an instance is replaced. */
async function migrate(): Promise<void> {
  const { databaseUrl } = parseConfig(process.env, {});
  if (databaseUrl === null) {
    throw new AirlockError("there is no database to migrate", {
      code: "invalid-configuration",
      hint: "Set AIRLOCK_DATABASE_URL. An instance with an embedded database migrates it when it starts.",
    });
  }
  const db = await openDatabase({ url: databaseUrl, onIdleError: () => {} });
  await db.destroy();
}

try {
  await commandLine({ version, run, migrate }).parseAsync();
  process.exit(0);
} catch (error) {
  fail(error);
}

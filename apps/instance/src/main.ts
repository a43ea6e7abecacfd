import { parseArgs } from "node:util";
import { AirlockError, errorMessage } from "@airlock/job";
import { parseConfig } from "./config/instance-config.ts";
import { startInstance, version } from "./instance.ts";

const help = `Usage: airlock-instance [--listen HOST:PORT] [--data-dir DIR]

Starts an Airlock instance: HTTP API, queues, storage, web UI.

  --listen HOST:PORT   address to listen on (AIRLOCK_LISTEN, default 127.0.0.1:7080; port 0: any free port)
  --data-dir DIR       where it keeps its data (AIRLOCK_DATA_DIR, default .airlock)
  --version            print the version
  --help               print this

Environment: AIRLOCK_DATABASE_URL, AIRLOCK_TOKEN, AIRLOCK_EXECUTOR_TOKEN, AIRLOCK_EXTERNAL_URL,
AIRLOCK_SECRET_KEY or AIRLOCK_SECRET_KEY_FILE (default: the file secret-key in the data directory),
AIRLOCK_ALLOW_LOCAL_REPOSITORIES, AIRLOCK_LEGACY_SHARED_SECRET, AIRLOCK_LOG_LEVEL, AIRLOCK_WEB_DIR,
AIRLOCK_MAX_ARTIFACT_SIZE, AIRLOCK_ARTIFACT_QUOTA, AIRLOCK_ARTIFACT_RETENTION, AIRLOCK_JOB_RETENTION,
AIRLOCK_MAXIMUM_REPOSITORY_SIZE, AIRLOCK_MAXIMUM_REPOSITORY_OBJECTS, and for artifacts in object storage AIRLOCK_S3_ENDPOINT, _REGION, _BUCKET, _PREFIX,
_ACCESS_KEY_ID, _SECRET_ACCESS_KEY, _FORCE_PATH_STYLE.
`;

/** Something that the user can put right: one line and what to do, no stack. Anything else is a defect and keeps its stack. */
function fail(error: unknown): never {
  if (error instanceof AirlockError) {
    console.error(`airlock: ${error.message}${error.hint ? `\n  ${error.hint}` : ""}`);
  } else {
    console.error("airlock: the instance failed:", error);
  }
  process.exit(1);
}

function readFlags() {
  try {
    return parseArgs({
      options: {
        listen: { type: "string" },
        "data-dir": { type: "string" },
        version: { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    }).values;
  } catch (cause) {
    throw new AirlockError(errorMessage(cause), { code: "usage", hint: "See --help.", cause });
  }
}

const impatientAfterMs = 1000;

/**
 * Resolves at the first SIGTERM or SIGINT. A Ctrl-C later on ends the process at once; one that comes with the first
 * signal does not: a supervisor in the same terminal passes on what the terminal has sent to both.
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

try {
  const flags = readFlags();
  if (flags.help) {
    process.stdout.write(help);
    process.exit(0);
  }
  if (flags.version) {
    console.log(version);
    process.exit(0);
  }
  // From the first moment on: a start that is interrupted half-way gives back what it has.
  const stop = stopSignal();
  const instance = await startInstance(parseConfig(process.env, flags));
  await stop;
  await instance[Symbol.asyncDispose]();
  process.exit(0);
} catch (error) {
  fail(error);
}

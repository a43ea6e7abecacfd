import { readFile, stat } from "node:fs/promises";
import path from "node:path";
import { AirlockError } from "@airlock/job";
import { z } from "zod";
import { describeFileError } from "../context/describe-file-error.ts";
import { checkToken, parseInstanceUrl } from "./connection-values.ts";
import { credentialsFile, currentInstance, findInstance, readCredentials } from "./credentials.ts";

/** Address of the instance and the token for it. */
export interface Connection {
  /** Ends with a slash. */
  readonly url: URL;
  /** Empty: requests are sent without one. */
  readonly token: string;
  /** Where the token comes from, for messages: an environment variable or a file. */
  readonly source: string;
  /** Name of the instance, if `airlock login` stored it. */
  readonly instance?: string;
}

/** Content of `DATA_DIR/connection.json`, which `airlock dev` writes. */
const ConnectionFile = z.object({ url: z.string(), token: z.string().min(1) });

/**
 * Finds the connection in this order:
 * - `AIRLOCK_URL` and `AIRLOCK_TOKEN`
 * - the instance of `airlock login` that `AIRLOCK_INSTANCE` names
 * - `connection.json` in `AIRLOCK_DATA_DIR`
 * - the nearest `.airlock/connection.json` in `cwd` or a directory above it
 * - the current instance of `airlock login`
 * @throws {AirlockError} `no-connection`, `connection-invalid`, `connection-not-private`.
 */
export async function findConnection(env: NodeJS.ProcessEnv, cwd: string): Promise<Connection> {
  const url = env.AIRLOCK_URL;
  const token = env.AIRLOCK_TOKEN;
  if (url) {
    if (!token) {
      throw new AirlockError("AIRLOCK_URL is set, but AIRLOCK_TOKEN is not", {
        code: "no-connection",
        hint: "Set AIRLOCK_TOKEN to the administrator's token: the file `token` in the instance's data directory.",
      });
    }
    return {
      url: parseInstanceUrl(url, "AIRLOCK_URL"),
      token: checkToken(token, "AIRLOCK_TOKEN"),
      source: "AIRLOCK_TOKEN",
    };
  }
  if (env.AIRLOCK_INSTANCE) return loggedIn(env, env.AIRLOCK_INSTANCE);
  const dataDirectory = env.AIRLOCK_DATA_DIR ? path.resolve(cwd, env.AIRLOCK_DATA_DIR) : undefined;
  for (const file of candidates(cwd, dataDirectory)) {
    const connection = await readConnectionFile(file);
    if (connection) return connection;
  }
  const current = await loggedIn(env, undefined);
  if (current) return current;
  throw new AirlockError(
    "no instance configured: AIRLOCK_URL is not set, neither this directory nor its parents have .airlock/connection.json, and no instance is logged in to",
    {
      code: "no-connection",
      hint: "Start one with `airlock dev`, log in with `airlock login URL`, or set AIRLOCK_URL and AIRLOCK_TOKEN.",
    },
  );
}

/** The connection that `airlock login` stored for an instance; without a choice the current one, if there is one. */
async function loggedIn(env: NodeJS.ProcessEnv, choice: string): Promise<Connection>;
async function loggedIn(env: NodeJS.ProcessEnv, choice: undefined): Promise<Connection | undefined>;
async function loggedIn(env: NodeJS.ProcessEnv, choice: string | undefined): Promise<Connection | undefined> {
  const credentials = await readCredentials(env);
  const stored = choice === undefined ? currentInstance(credentials) : findInstance(credentials, choice);
  const source = credentialsFile(env);
  if (!stored || source === undefined) return undefined;
  return {
    url: parseInstanceUrl(stored.url, source),
    token: checkToken(stored.token, source),
    source,
    instance: stored.name,
  };
}

function* candidates(cwd: string, dataDirectory: string | undefined): Generator<string> {
  if (dataDirectory) yield path.join(dataDirectory, "connection.json");
  for (let directory = cwd; ; directory = path.dirname(directory)) {
    yield path.join(directory, ".airlock", "connection.json");
    if (directory === path.dirname(directory)) return;
  }
}

async function readConnectionFile(file: string): Promise<Connection | undefined> {
  let text: string;
  try {
    await requirePrivate(file);
    text = await readFile(file, "utf8");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    if (error instanceof AirlockError) throw error;
    throw new AirlockError(`cannot read ${file}: ${describeFileError(error)}`, {
      code: "connection-invalid",
      hint: "Make it readable, or set AIRLOCK_URL and AIRLOCK_TOKEN.",
      cause: error,
    });
  }
  const parsed = ConnectionFile.safeParse(parseJson(text));
  if (!parsed.success) {
    throw new AirlockError(`${file} is not a connection file`, {
      code: "connection-invalid",
      hint: "Remove it and start `airlock dev` again, or set AIRLOCK_URL and AIRLOCK_TOKEN.",
    });
  }
  return { url: parseInstanceUrl(parsed.data.url, file), token: checkToken(parsed.data.token, file), source: file };
}

/**
 * If another user could write the file, e.g. in /tmp, our jobs and their environment could be sent to their instance.
 */
async function requirePrivate(file: string): Promise<void> {
  const { uid, mode } = await stat(file);
  const own = process.getuid?.();
  if (own === undefined || ((uid === own || uid === 0) && (mode & 0o022) === 0)) return;
  throw new AirlockError(
    `${file} cannot be trusted: ${uid === own ? "other users can write to it" : "it belongs to another user"}`,
    {
      code: "connection-not-private",
      hint: "Set AIRLOCK_URL and AIRLOCK_TOKEN, or run as the user who started `airlock dev`.",
    },
  );
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

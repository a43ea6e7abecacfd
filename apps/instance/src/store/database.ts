import { AirlockError, errorMessage } from "@airlock/job";
import { Kysely, PostgresDialect } from "kysely";
import pg from "pg";
import { migrate } from "./migrate.ts";
import { DatabasePool, PreparingClient } from "./preparing-client.ts";
import type { Schema } from "./schema.ts";
import { SilenceWatch } from "./silence-watch.ts";

export type Database = Kysely<Schema>;

const minimumServerVersion = 140_000;

export interface DatabaseOptions {
  /** `postgres://user:password@host:port/name`, or with `?host=/socket/directory`. */
  readonly url: string;
  /** Maximum connections of the pool, not counting the one that listens. Default: 16. */
  readonly maxConnections?: number;
  /** How long a statement may be unanswered before the server is asked whether it still answers. Default: 15 s. */
  readonly suspectMs?: number;
  /** Called when an idle connection breaks. The pool replaces it. */
  readonly onIdleError?: (error: Error) => void;
}

/**
 * Connects, checks the server's version and migrates the schema. The caller closes it with `destroy()`.
 * @throws {AirlockError} `database-unreachable`, `database-too-old`, `database-too-new`.
 */
export async function openDatabase(options: DatabaseOptions): Promise<Database> {
  const { url, suspectMs } = options;
  const watch = new SilenceWatch({ url, ...(suspectMs === undefined ? {} : { suspectMs }) });
  const pool = new DatabasePool({
    connectionString: url,
    max: options.maxConnections ?? 16,
    Client: class extends PreparingClient {
      constructor(config?: string | pg.ClientConfig) {
        super(config, watch);
      }
    },
    keepAlive: true,
    connectionTimeoutMillis: 10_000,
    application_name: "airlock",
    types: numericTypes,
  });
  pool.on("error", (error) => options.onIdleError?.(error));
  try {
    const client = await pool.connect().catch((error: unknown) => {
      throw unreachable(error);
    });
    try {
      const { rows } = await client.query<{ version: number }>(
        "select current_setting('server_version_num')::int as version",
      );
      const version = rows[0]?.version ?? 0;
      if (version < minimumServerVersion) {
        throw new AirlockError(`PostgreSQL ${Math.floor(version / 10_000)} is too old`, {
          code: "database-too-old",
          hint: "Airlock needs PostgreSQL 14 or newer.",
        });
      }
      await migrate(client);
    } finally {
      client.release();
    }
    return new Kysely<Schema>({ dialect: new PostgresDialect({ pool }) });
  } catch (error) {
    await pool.end();
    throw error;
  }
}

function unreachable(cause: unknown): AirlockError {
  return new AirlockError(`cannot connect to the database: ${errorMessage(cause)}`, {
    code: "database-unreachable",
    hint: "Check AIRLOCK_DATABASE_URL, that the server is running, and that it accepts this user.",
    cause,
  });
}

const int8 = 20;
/** `pg` reads 64-bit integers as text by default. Ids and sizes stay below 2^53 here. */
const numericTypes: pg.CustomTypesConfig = {
  getTypeParser: ((oid: number, format?: "text" | "binary") =>
    oid === int8
      ? Number
      : pg.types.getTypeParser(oid, format === "binary" ? "binary" : "text")) as pg.CustomTypesConfig["getTypeParser"],
};

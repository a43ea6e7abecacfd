import pg from "pg";
import { DatabaseAwayError, endsConnection } from "./database-away.ts";
import { nameOfPrepared } from "./prepared-statements.ts";
import type { SilenceWatch } from "./silence-watch.ts";

/**
 * A connection that prepares the statements of {@link executePrepared}. Kysely passes on only their texts. A statement
 * that fails because the connection broke rejects with a {@link DatabaseAwayError}.
 */
export class PreparingClient extends pg.Client {
  #broken = false;
  readonly #watch: SilenceWatch | null;

  constructor(config?: string | pg.ClientConfig, watch: SilenceWatch | null = null) {
    super(config);
    this.#watch = watch;
    // `pg` emits this before it rejects the statements of the connection. Without a listener, a connection that breaks
    // between two statements of a transaction would end the process.
    this.on("error", () => {
      this.#broken = true;
    });
  }

  // The overloads of `pg` are for callers and don't fit a function that forwards a call.
  override query = ((...args: unknown[]) => {
    const [text, values, ...rest] = args;
    const name = typeof text === "string" && Array.isArray(values) ? nameOfPrepared(text) : undefined;
    const call = name === undefined ? args : [{ name, text, values }, ...rest];
    const result: unknown = Reflect.apply(pg.Client.prototype.query, this, call);
    if (!(result instanceof Promise)) return result;
    const answer = this.#watch ? this.#watch.guard(result, () => this.#giveUp()) : result;
    return answer.catch((error: unknown) => {
      throw this.#broken || endsConnection(error) ? new DatabaseAwayError(error) : error;
    });
  }) as pg.Client["query"];

  /** Fails every statement of this connection. The pool then replaces it. */
  #giveUp(): void {
    this.connection.stream.destroy(new Error("the database does not answer"));
  }
}

/** A pool whose failed connections reject with a {@link DatabaseAwayError}, whatever the reason. */
export class DatabasePool extends pg.Pool {
  // Kysely and openDatabase call it without a callback. The overloads of `pg` don't fit a function that forwards a call.
  override connect = (async () => {
    try {
      return (await Reflect.apply(pg.Pool.prototype.connect, this, [])) as unknown;
    } catch (error) {
      throw new DatabaseAwayError(error);
    }
  }) as pg.Pool["connect"];
}

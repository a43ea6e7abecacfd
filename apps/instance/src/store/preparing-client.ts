import pg from "pg";
import { nameOfPrepared } from "./prepared-statements.ts";

/** A connection that prepares the statements of {@link executePrepared}, which Kysely passes on by their texts alone. */
export class PreparingClient extends pg.Client {
  // `pg` declares its overloads for callers, not for those who pass a call on.
  override query = ((...args: unknown[]) => {
    const [text, values, ...rest] = args;
    const name = typeof text === "string" && Array.isArray(values) ? nameOfPrepared(text) : undefined;
    const call = name === undefined ? args : [{ name, text, values }, ...rest];
    return Reflect.apply(pg.Client.prototype.query, this, call);
  }) as pg.Client["query"];
}

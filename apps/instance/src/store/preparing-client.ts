import pg from "pg";
import { nameOfPrepared } from "./prepared-statements.ts";

/** A connection that prepares the statements of {@link executePrepared}. Kysely passes on only their texts. */
export class PreparingClient extends pg.Client {
  // The overloads of `pg` are for callers and don't fit a function that forwards a call.
  override query = ((...args: unknown[]) => {
    const [text, values, ...rest] = args;
    const name = typeof text === "string" && Array.isArray(values) ? nameOfPrepared(text) : undefined;
    const call = name === undefined ? args : [{ name, text, values }, ...rest];
    return Reflect.apply(pg.Client.prototype.query, this, call);
  }) as pg.Client["query"];
}

import pg from "pg";

const mark = /^\s*\/\* prepared: ([a-z-]+) \*\//;

/**
 * A connection that prepares the statements which begin with a comment `prepared: NAME`, once each, and sends their
 * parameters alone from then on. For the few of the hot path: to plan them takes longer than to run them. A name has one
 * text, so a statement whose text changes with its input has none.
 */
export class PreparingClient extends pg.Client {
  // `pg` declares its overloads for callers, not for those who pass a call on.
  override query = ((...args: unknown[]) => {
    const [text, values, ...rest] = args;
    const name = typeof text === "string" && Array.isArray(values) ? mark.exec(text)?.[1] : undefined;
    const call = name === undefined ? args : [{ name, text, values }, ...rest];
    return Reflect.apply(pg.Client.prototype.query, this, call);
  }) as pg.Client["query"];
}

import { readFile } from "node:fs/promises";
import pg from "pg";
import { describe, expect, it } from "vitest";
import { isDatabaseAway } from "./database-away.ts";

describe("isDatabaseAway", () => {
  it.each([
    ["nothing listens", "postgres://x:y@127.0.0.1:9/z"],
    ["the socket is gone", "postgres://x@/z?host=/nonexistent"],
  ])("knows that %s", async (_title, connectionString) => {
    const client = new pg.Client({ connectionString });
    const error: unknown = await client.connect().catch((cause: unknown) => cause);
    expect(isDatabaseAway(error)).toBe(true);
  });

  it.each([
    ["a shutdown", Object.assign(new Error("terminating connection"), { code: "57P01" }), true],
    ["a start", Object.assign(new Error("the database system is starting up"), { code: "57P03" }), true],
    ["a broken connection", new Error("Connection terminated unexpectedly"), true],
    ["a reset", Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET", syscall: "read" }), true],
    ["a duplicate key", Object.assign(new Error("duplicate key"), { code: "23505" }), false],
    ["a defect", new TypeError("x is not a function"), false],
    ["a text", "Connection terminated", false],
  ])("tells %s from others", (_title, error, away) => {
    expect(isDatabaseAway(error)).toBe(away);
  });

  it("does not take a missing file for a missing database", async () => {
    expect(isDatabaseAway(await readFile("/nonexistent").catch((error: unknown) => error))).toBe(false);
  });
});

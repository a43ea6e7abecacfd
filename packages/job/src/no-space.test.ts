import { mkdir } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { isNoSpace, saysNoSpace } from "./no-space.ts";

describe("isNoSpace", () => {
  const withCode = (code: string) => Object.assign(new Error("x"), { code });

  it.each(["ENOSPC", "EDQUOT", "53100"])("recognizes %s, also as the cause of another error", (code) => {
    expect(isNoSpace(withCode(code))).toBe(true);
    expect(isNoSpace(new Error("a", { cause: new Error("b", { cause: withCode(code) }) }))).toBe(true);
  });

  it("recognizes a full disk reported by SQLite", () => {
    expect(isNoSpace(Object.assign(new Error("database or disk is full"), { errcode: 13 }))).toBe(true);
  });

  it("does not match errors that only resemble it in name", async () => {
    const missing: unknown = await mkdir("/nonexistent/directory").catch((error: unknown) => error);
    for (const other of [missing, new Error("No space left on device"), "ENOSPC", undefined, withCode("EACCES")]) {
      expect(isNoSpace(other)).toBe(false);
    }
  });
});

describe("saysNoSpace", () => {
  it.each([
    ['FATAL:  could not write to file "pg_wal/xlogtemp.25934": No space left on device', true],
    ["cp: error writing 'b/a': Disk quota exceeded", true],
    ["database or disk is full", true],
    ["connect ENOENT /tmp/x/.s.PGSQL.5432", false],
  ])("%s: %s", (words, expected) => {
    expect(saysNoSpace(words)).toBe(expected);
  });
});

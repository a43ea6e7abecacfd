import { describe, expect, it } from "vitest";
import { auditFilter, auditSearch, isoTime, localTime } from "./audit-filter.ts";

describe("the filter of the audit log", () => {
  it("is the same after it was written to the address and read again", () => {
    const filter = { actor: "ada & co", action: "secret", namespace: "", since: "2026-11-30T10:00:00.000Z", until: "" };
    expect(auditFilter(auditSearch(filter))).toEqual(filter);
  });

  it("ignores parameters that are not filters", () => {
    expect(auditSearch(auditFilter(new URLSearchParams("limit=9999&before=1&actor=ada"))).toString()).toBe("actor=ada");
  });

  it("shows times in the reader's time zone, and nothing for what is not a time", () => {
    expect(isoTime(localTime("2026-11-30T10:05:00.000Z"))).toBe("2026-11-30T10:05:00.000Z");
    for (const text of ["", "yesterday", "2026-13-40T00:00"]) {
      expect([localTime(text), isoTime(text)]).toEqual(["", ""]);
    }
  });
});

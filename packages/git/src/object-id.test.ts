import { describe, expect, it } from "vitest";
import { isObjectId, objectFormatOf } from "./object-id.ts";

const [sha1, sha256] = ["a".repeat(40), "b".repeat(64)];

describe("object ids", () => {
  it("are distinguished by their length", () => {
    expect(objectFormatOf(sha1)).toBe("sha1");
    expect(objectFormatOf(sha256)).toBe("sha256");
  });

  it("of one format are abbreviations or invalid in the other", () => {
    expect(isObjectId(sha1, "sha1")).toBe(true);
    expect(isObjectId(sha1, "sha256")).toBe(false);
    expect(isObjectId(sha256, "sha1")).toBe(false);
    expect([sha1, sha256].every((id) => isObjectId(id))).toBe(true);
  });

  it.each(["", "a".repeat(39), "a".repeat(41), "A".repeat(40), `${"a".repeat(39)}g`, `${sha1}\n`, `-${sha1.slice(1)}`])(
    "do not include %j",
    (text) => {
      expect(objectFormatOf(text)).toBeUndefined();
      expect(isObjectId(text)).toBe(false);
    },
  );
});

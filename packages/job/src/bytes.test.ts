import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatBytes, parseBytes } from "./bytes.ts";

describe("parseBytes", () => {
  it.each([
    ["1024", 1024],
    ["512Mi", 512 * 2 ** 20],
    ["12G", 12e9],
    ["1.5GiB", 1.5 * 2 ** 30],
    ["20 gb", 20e9],
    ["0", 0],
  ])("reads %s as %d bytes", (text, bytes) => {
    expect(parseBytes(text)).toBe(bytes);
  });

  it.each(["", "-1", "12Q", "1e9", "G", "12 G B", "9999999999999Ti", "1,5G", "0x10"])("refuses %j", (text) => {
    expect(parseBytes(text)).toBeUndefined();
  });

  it("only ever returns a whole number of bytes", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const bytes = parseBytes(text);
        return bytes === undefined || (Number.isSafeInteger(bytes) && bytes >= 0);
      }),
    );
  });
});

describe("formatBytes", () => {
  it("uses the largest unit in which the size is at least one", () => {
    expect([0, 1023, 1536, 2 ** 30, 5 * 2 ** 40].map(formatBytes)).toEqual([
      "0 B",
      "1023 B",
      "1.5 KiB",
      "1 GiB",
      "5 TiB",
    ]);
  });
});

import { describe, expect, it } from "vitest";
import { formatRange, includes, overlaps, parseRange } from "./ip-range.ts";

describe("parseRange", () => {
  it.each([
    ["10.1.2.3/8", "10.0.0.0/8"],
    ["10.1.2.3", "10.1.2.3"],
    ["0.0.0.0/0", "0.0.0.0/0"],
    ["255.255.255.255/32", "255.255.255.255"],
    ["2001:DB8::/32", "2001:db8:0:0:0:0:0:0/32"],
    ["::", "0:0:0:0:0:0:0:0"],
    ["::1/128", "0:0:0:0:0:0:0:1"],
    ["fe80::1:2/10", "fe80:0:0:0:0:0:0:0/10"],
    ["::ffff:10.0.0.1", "0:0:0:0:0:ffff:a00:1"],
    ["64:ff9b::192.0.2.33/96", "64:ff9b:0:0:0:0:0:0/96"],
    ["1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"],
    ["1::", "1:0:0:0:0:0:0:0"],
  ])("reads %s as %s", (text, formatted) => {
    expect(formatRange(parseRange(text))).toBe(formatted);
  });

  it.each([
    "",
    "10.0.0",
    "127.1",
    "0x7f000001",
    "010.0.0.1",
    "10.0.0.0/33",
    "10.0.0.0/",
    "10.0.0.0/8/8",
    "10.0.0.0/-1",
    "::/129",
    "fe80::1%eth0",
    "example.com",
  ])("refuses %j", (text) => {
    expect(() => parseRange(text)).toThrow(RangeError);
  });

  it("knows which ranges contain and overlap each other", () => {
    const [ten, host, other, v6] = ["10.0.0.0/8", "10.1.2.3", "11.0.0.0/8", "::/0"].map(parseRange);
    if (!ten || !host || !other || !v6) throw new Error("four ranges");
    expect(includes(ten, host)).toBe(true);
    expect(includes(host, ten)).toBe(false);
    expect(overlaps(host, ten)).toBe(true);
    expect(overlaps(ten, other)).toBe(false);
    expect(overlaps(v6, ten)).toBe(false);
  });
});

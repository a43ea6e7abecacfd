import { describe, expect, it } from "vitest";
import { parseResolvConf } from "./upstream-servers.ts";

describe("parseResolvConf", () => {
  it("reads the first three name servers and skips other lines", () => {
    const text =
      "# comment\nsearch example.com\nnameserver 127.0.0.53\n nameserver\t2001:db8::1 \nnameserver x\nnameserver 8.8.8.8\nnameserver 9.9.9.9\n";
    expect(parseResolvConf(text)).toEqual(
      ["127.0.0.53", "2001:db8::1", "8.8.8.8"].map((address) => ({ address, port: 53 })),
    );
  });
});

import { describe, expect, it } from "vitest";
import { droppingTables } from "./host-firewalls.ts";

describe("droppingTables", () => {
  it("finds the firewalls that drop what the host forwards", () => {
    const chain = (table: string, hook: string, policy: string) => ({ chain: { family: "ip", table, hook, policy } });
    const listing = {
      nftables: [
        { metainfo: { version: "1.0.6" } },
        chain("filter", "forward", "drop"),
        chain("other", "forward", "accept"),
        chain("filter", "input", "drop"),
        { chain: { family: "ip", table: "filter", name: "DOCKER" } },
      ],
    };
    expect(droppingTables(listing)).toEqual([{ family: "ip", name: "filter" }]);
  });
});

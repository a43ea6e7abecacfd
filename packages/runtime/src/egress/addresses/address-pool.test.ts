import { describe, expect, it } from "vitest";
import { interfaceName, ownerNames } from "../host/names.ts";
import { AddressPool } from "./address-pool.ts";
import { formatRange, overlaps, parseRange } from "./ip-range.ts";

describe("AddressPool", () => {
  it("gives out blocks that don't overlap until none is left", () => {
    const pool = new AddressPool("198.18.0.0/26", 5n);
    const blocks = Array.from({ length: 8 }, () => pool.take([]));
    expect(new Set(blocks.map((block) => block?.gateway)).size).toBe(8);
    expect(pool.take([])).toBeUndefined();
    pool.giveBack(3);
    expect(pool.take([])?.slot).toBe(3);
  });

  it("gives out every other address before it reuses one", () => {
    const pool = new AddressPool("198.18.0.0/26", 0n);
    const slots = Array.from({ length: 8 }, () => {
      const slot = pool.take([])?.slot ?? -1;
      pool.giveBack(slot);
      return slot;
    });
    expect(slots).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });

  it("skips addresses that the host uses", () => {
    const pool = new AddressPool("198.18.0.0/24", 0n);
    const occupied = [parseRange("198.18.0.0/25"), parseRange("198.18.0.130")];
    expect(pool.take(occupied)?.gateway).toBe("198.18.0.137");
    expect(pool.take([parseRange("198.18.0.0/15")])).toBeUndefined();
  });

  it("gives each sandbox a network of the owner's own IPv6 prefix", () => {
    const pool = new AddressPool("198.18.0.0/15", ownerNames("owner").globalId);
    const [one, two] = [pool.take([]), pool.take([])];
    if (!one || !two) throw new Error("two blocks");
    expect(formatRange(pool.ipv6Range)).toMatch(/^fd[0-9a-f]{2}:.*\/48$/);
    expect(overlaps(one.ipv6.subnet, two.ipv6.subnet)).toBe(false);
    expect(overlaps(one.ipv6.subnet, pool.ipv6Range)).toBe(true);
    expect(formatRange(pool.ipv6Range)).not.toBe(
      formatRange(new AddressPool("198.18.0.0/15", ownerNames("other").globalId).ipv6Range),
    );
  });

  it.each(["198.18.0.0/8", "198.18.0.0/30", "fd00::/48", "somewhere"])("refuses the pool %s", (pool) => {
    expect(() => new AddressPool(pool, 0n)).toThrow(RangeError);
  });

  it("has an interface name that the kernel accepts for each block", () => {
    const names = ownerNames("an-owner-with-a-name-as-long-as-it-may-be");
    expect(interfaceName(names, 65_535).length).toBeLessThanOrEqual(15);
    expect(interfaceName(names, 1)).not.toBe(interfaceName(ownerNames("another"), 1));
  });
});

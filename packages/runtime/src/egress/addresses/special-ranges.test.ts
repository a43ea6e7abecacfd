import { describe, expect, it } from "vitest";
import { formatAddress, parseRange } from "./ip-range.ts";
import { forbiddenRanges, liesIn, specialRanges, touches } from "./special-ranges.ts";

/** https://www.iana.org/assignments/iana-ipv4-special-registry, copied independently of the list under test. */
const ianaIpv4 = `0.0.0.0/8 0.0.0.0/32 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.0.0/29
  192.0.0.8/32 192.0.0.9/32 192.0.0.10/32 192.0.0.170/32 192.0.0.171/32 192.0.2.0/24 192.31.196.0/24 192.52.193.0/24
  192.88.99.0/24 192.88.99.2/32 192.168.0.0/16 192.175.48.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 240.0.0.0/4
  255.255.255.255/32 224.0.0.0/4`;
/** https://www.iana.org/assignments/iana-ipv6-special-registry, plus multicast and the deprecated site-local range. */
const ianaIpv6 = `::1/128 ::/128 ::ffff:0:0/96 64:ff9b::/96 64:ff9b:1::/48 100::/64 100:0:0:1::/64 2001::/23 2001::/32 2001:1::1/128
  2001:1::2/128 2001:1::3/128 2001:2::/48 2001:3::/32 2001:4:112::/48 2001:10::/28 2001:20::/28 2001:30::/28 2001:db8::/32
  2002::/16 2620:4f:8000::/48 3fff::/20 5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8`;
const registries = `${ianaIpv4} ${ianaIpv6}`.split(/\s+/).map(parseRange);

describe("special ranges", () => {
  it.each(registries)("include every range of IANA's special-purpose registries: $family $first/$bits", (range) => {
    expect(liesIn(specialRanges, range)).toBe(true);
  });

  it("include every IPv6 form that contains a private IPv4 address", () => {
    const random = generator(7);
    for (let round = 0; round < 2000; round += 1) {
      const private4 = BigInt(0x0a000000 + random(0x1000000));
      const forms = [
        0xffffn << 32n, // IPv4-mapped
        0n, // IPv4-compatible
        0xffffn << 48n, // IPv4-translated
        0x64ff9bn << 96n, // NAT64, RFC 6052
        0x64ff9b0001n << 80n, // local NAT64, RFC 8215
      ].map((prefix) => prefix | private4);
      forms.push((0x2002n << 112n) | (private4 << 80n) | BigInt(random(2 ** 32))); // 6to4
      forms.push((0x20010000n << 96n) | (BigInt(random(2 ** 32)) << 64n) | (private4 ^ 0xffffffffn)); // Teredo
      for (const form of forms) {
        const range = parseRange(formatAddress(6, form));
        expect(touches(specialRanges, range) && touches(forbiddenRanges, range)).toBe(true);
      }
    }
  });

  it("include no address that is neither in IANA's registries nor in private use", () => {
    const random = generator(11);
    for (let round = 0; round < 5000; round += 1) {
      const range = parseRange(formatAddress(4, BigInt(random(2 ** 32))));
      const expected = touches(registries, range) || formatAddress(4, range.first) === "168.63.129.16";
      expect(touches(specialRanges, range), formatAddress(4, range.first)).toBe(expected);
    }
  });

  it.each([
    "8.8.8.8",
    "1.1.1.1",
    "172.15.0.1",
    "172.32.0.1",
    "100.63.0.1",
    "100.128.0.1",
    "2606:4700::1",
    "2a00:1450::1",
  ])("do not include %s", (address) => {
    expect(touches(specialRanges, parseRange(address))).toBe(false);
  });

  it.each(["169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254"])(
    "keep the metadata address %s closed even if a rule allows it",
    (address) => {
      expect(liesIn(forbiddenRanges, parseRange(address))).toBe(true);
    },
  );

  it("let rules open the private networks that they name", () => {
    for (const text of ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/24", "fc00::/8", "fd12::/16"]) {
      expect(liesIn(forbiddenRanges, parseRange(text)), text).toBe(false);
    }
  });
});

/** Pseudo-random numbers below `limit`, the same in each run. */
function generator(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

import { isIPv4, isIPv6 } from "node:net";

export type IpFamily = 4 | 6;

/** A block of addresses. The bits of `first` after the prefix are 0. */
export interface IpRange {
  readonly family: IpFamily;
  readonly first: bigint;
  readonly last: bigint;
  readonly bits: number;
}

/**
 * Parses `10.0.0.0/8`, `2001:db8::/32` or a single address. Bits after the prefix are cleared, so `10.1.2.3/8` becomes
 * `10.0.0.0/8`. Accepts only canonical spellings: `127.1`, `0x7f000001` and `fe80::1%eth0` are rejected.
 * @throws {RangeError}
 */
export function parseRange(text: string): IpRange {
  const [address = "", prefix, ...rest] = text.split("/");
  const family = isIPv4(address) ? 4 : isIPv6(address) && !address.includes("%") ? 6 : undefined;
  const width = family === 4 ? 32 : 128;
  const bits = prefix === undefined ? width : /^\d{1,3}$/.test(prefix) ? Number(prefix) : Number.NaN;
  if (family === undefined || rest.length > 0 || !(bits <= width))
    throw new RangeError(`"${text}" is not an address range`);
  const hostMask = (1n << BigInt(width - bits)) - 1n;
  const value = family === 4 ? parseIpv4(address) : parseIpv6(address);
  const first = value & ~hostMask;
  return { family, first, last: first | hostMask, bits };
}

export function includes(outer: IpRange, inner: IpRange): boolean {
  return outer.family === inner.family && outer.first <= inner.first && inner.last <= outer.last;
}

export function overlaps(a: IpRange, b: IpRange): boolean {
  return a.family === b.family && a.first <= b.last && b.first <= a.last;
}

/** Formats a range for `nft` and `ip`: `10.0.0.0/8`, or a single address without a prefix length. */
export function formatRange({ family, first, bits }: IpRange): string {
  const address = formatAddress(family, first);
  return bits === (family === 4 ? 32 : 128) ? address : `${address}/${bits}`;
}

export function formatAddress(family: IpFamily, value: bigint): string {
  if (family === 4) return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 255n).join(".");
  // Only leading zeros are omitted. Every parser accepts this form, and people rarely read it.
  return Array.from({ length: 8 }, (_, group) => ((value >> BigInt(112 - group * 16)) & 0xffffn).toString(16)).join(
    ":",
  );
}

function parseIpv4(text: string): bigint {
  return text.split(".").reduce((value, part) => (value << 8n) | BigInt(part), 0n);
}

function parseIpv6(text: string): bigint {
  // A dotted-decimal tail stands for two groups.
  const plain = text.replace(/\d+\.\d+\.\d+\.\d+$/, (dotted) => {
    const value = parseIpv4(dotted);
    return `${(value >> 16n).toString(16)}:${(value & 0xffffn).toString(16)}`;
  });
  const [head = "", tail] = plain.split("::");
  const groups = (part: string | undefined) => (part ? part.split(":") : []);
  const before = groups(head);
  const after = groups(tail);
  const zeros = Array<string>(8 - before.length - after.length).fill("0");
  return [...before, ...zeros, ...after].reduce((value, group) => (value << 16n) | BigInt(`0x${group}`), 0n);
}

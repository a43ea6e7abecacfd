import { isIPv6 } from "node:net";
import { parseRange } from "../addresses/ip-range.ts";

/** Numbers of Ethernet and IP protocols. */
export const etherTypes = { ipv4: 0x0800, arp: 0x0806, vlan: 0x8100, ipv6: 0x86dd, serviceVlan: 0x88a8 } as const;
export const protocols = { icmp: 1, igmp: 2, tcp: 6, udp: 17, gre: 47, icmpv6: 58 } as const;

export interface EthernetOptions {
  readonly destination?: string;
  readonly source?: string;
  readonly type: number;
}

/** An Ethernet frame, by default from a guest's device to its gateway. */
export function ethernet(payload: Buffer, { destination, source, type }: EthernetOptions): Buffer {
  const to = macBytes(destination ?? "02:00:00:00:00:02");
  return Buffer.concat([to, macBytes(source ?? "02:00:00:00:00:01"), uint16(type), payload]);
}

export interface Ipv4Options {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  /** Flags and offset of a fragment. Default: the whole packet. */
  readonly fragment?: number;
  /** A multiple of 4 bytes. Default: none. */
  readonly options?: Buffer;
}

export function ipv4(payload: Buffer, { source, destination, protocol, fragment = 0, options }: Ipv4Options): Buffer {
  const extra = options ?? Buffer.alloc(0);
  const header = Buffer.alloc(20);
  header.writeUInt8(0x40 | (5 + extra.length / 4), 0);
  header.writeUInt16BE(20 + extra.length + payload.length, 2);
  header.writeUInt16BE(4711, 4);
  header.writeUInt16BE(fragment, 6);
  header.writeUInt8(64, 8);
  header.writeUInt8(protocol, 9);
  header.set(addressBytes(source), 12);
  header.set(addressBytes(destination), 16);
  const whole = Buffer.concat([header, extra]);
  whole.writeUInt16BE(checksum(whole), 10);
  return Buffer.concat([whole, payload]);
}

export interface Ipv6Options {
  readonly source: string;
  readonly destination: string;
  readonly nextHeader: number;
  readonly hopLimit?: number;
}

export function ipv6(payload: Buffer, { source, destination, nextHeader, hopLimit = 64 }: Ipv6Options): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt32BE(0x60000000, 0);
  header.writeUInt16BE(payload.length, 4);
  header.writeUInt8(nextHeader, 6);
  header.writeUInt8(hopLimit, 7);
  return Buffer.concat([header, addressBytes(source), addressBytes(destination), payload]);
}

export interface Ends {
  readonly source: string;
  readonly destination: string;
}

/** A datagram with the checksum for these addresses. */
export function udp(text: string, { source, destination }: Ends, port: number): Buffer {
  const data = Buffer.from(text);
  const datagram = Buffer.concat([uint16(4000), uint16(port), uint16(8 + data.length), uint16(0), data]);
  datagram.writeUInt16BE(
    checksum(Buffer.concat([pseudoHeader(source, destination, datagram, protocols.udp), datagram])),
    6,
  );
  return datagram;
}

export function icmp(type: number, rest: Buffer): Buffer {
  const message = Buffer.concat([Buffer.from([type, 0, 0, 0]), rest]);
  message.writeUInt16BE(checksum(message), 2);
  return message;
}

export function icmpv6(type: number, rest: Buffer, { source, destination }: Ends): Buffer {
  const message = Buffer.concat([Buffer.from([type, 0, 0, 0]), rest]);
  message.writeUInt16BE(
    checksum(Buffer.concat([pseudoHeader(source, destination, message, protocols.icmpv6), message])),
    2,
  );
  return message;
}

/** An ARP message about an IPv4 address. Operation 1 asks, 2 answers. */
export function arp(operation: 1 | 2, sender: string, target: string): Buffer {
  const fixed = Buffer.from([0, 1, 8, 0, 6, 4, 0, operation]);
  const ethernetAddress = macBytes("02:00:00:00:00:01");
  return Buffer.concat([fixed, ethernetAddress, addressBytes(sender), Buffer.alloc(6), addressBytes(target)]);
}

export function addressBytes(address: string): Buffer {
  return Buffer.from(
    parseRange(address)
      .first.toString(16)
      .padStart(isIPv6(address) ? 32 : 8, "0"),
    "hex",
  );
}

export function uint16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 255]);
}

export function macBytes(address: string): Buffer {
  return Buffer.from(address.replaceAll(":", ""), "hex");
}

function pseudoHeader(source: string, destination: string, payload: Buffer, protocol: number): Buffer {
  const end = Buffer.from([0, protocol, ...uint16(payload.length)]);
  const lengths = isIPv6(source)
    ? Buffer.concat([Buffer.alloc(2), uint16(payload.length), Buffer.from([0, 0, 0, protocol])])
    : end;
  return Buffer.concat([addressBytes(source), addressBytes(destination), lengths]);
}

/** The sum of RFC 1071, without the field that it is for. */
function checksum(bytes: Buffer): number {
  const even = bytes.length % 2 === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(1)]);
  let sum = 0;
  for (let at = 0; at < even.length; at += 2) sum += even.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

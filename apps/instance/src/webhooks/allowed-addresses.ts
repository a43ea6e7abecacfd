import { BlockList, isIP } from "node:net";
import { AirlockError } from "@airlock/job";
import { isPrivateName } from "@airlock/proxy";

/**
 * Addresses that are not on the public internet: this machine, private and shared networks, and addresses that lead to
 * such networks by translation.
 */
const closed = new BlockList();
for (const [network, bits] of [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 3],
] as const) {
  closed.addSubnet(network, bits, "ipv4");
}
/** Global unicast addresses are public, without those that carry an IPv4 address or are reserved. */
const open6 = new BlockList();
open6.addSubnet("2000::", 3, "ipv6");
const closed6 = new BlockList();
for (const [network, bits] of [
  ["2001::", 23],
  ["2001:db8::", 32],
  ["2002::", 16],
  ["3fff::", 20],
] as const) {
  closed6.addSubnet(network, bits, "ipv6");
}

export function isPublicAddress(address: string): boolean {
  const family = isIP(address);
  if (family === 4) return !closed.check(address, "ipv4");
  if (family !== 6) return false;
  return open6.check(address, "ipv6") && !closed6.check(address, "ipv6");
}

/** Whether the administrator allows this host and port, whatever its addresses are, and without TLS. */
export function isAllowedHost(url: URL, allowed: readonly string[]): boolean {
  const port = url.port || (url.protocol === "https:" ? "443" : "80");
  return allowed.includes(url.hostname) || allowed.includes(`${url.hostname}:${port}`);
}

/**
 * Checks what can be checked before a connection is made. Names are checked when they are resolved.
 * @throws {AirlockError} `webhook-address-refused`.
 */
export function checkWebhookUrl(url: URL, allowed: readonly string[]): void {
  if (isAllowedHost(url, allowed)) return;
  const refuse = (problem: string) => {
    throw new AirlockError(`url: ${problem}`, {
      code: "webhook-address-refused",
      hint: "Use an https address on the internet. An administrator can allow hosts in AIRLOCK_WEBHOOK_HOSTS.",
    });
  };
  if (url.protocol !== "https:") refuse("webhooks are sent over https only");
  const literal = url.hostname.replace(/^\[|\]$/g, "");
  const isPrivate = isIP(literal) === 0 ? isPrivateName(literal) : !isPublicAddress(literal);
  if (isPrivate) refuse(`${url.hostname} is a private address`);
}

import { BlockList, isIP } from "node:net";

/** Tells which addresses `NO_PROXY` and the rules for this machine itself except from proxies. */
export interface DirectHosts {
  includes(url: URL): boolean;
}

/** A host as `NO_PROXY` compares it: lower case, without brackets and without the root's dot. */
function bareHost({ hostname }: URL): string {
  return hostname.replace(/^\[|\]$/g, "").replace(/\.$/, "");
}

function portOf({ port, protocol }: URL): string {
  return port || (protocol === "https:" ? "443" : "80");
}

const loopback = new BlockList();
loopback.addSubnet("127.0.0.0", 8, "ipv4");
loopback.addAddress("0.0.0.0", "ipv4");
loopback.addAddress("::1", "ipv6");
loopback.addAddress("::", "ipv6");

function contains(list: BlockList, host: string): boolean {
  const family = isIP(host);
  return family !== 0 && list.check(host, family === 4 ? "ipv4" : "ipv6");
}

/** This machine itself. A proxy would take such an address for its own. */
function isLoopback(host: string): boolean {
  return host === "localhost" || host.endsWith(".localhost") || contains(loopback, host);
}

type Rule = (host: string, port: string) => boolean;

/**
 * Parses `NO_PROXY`: members separated by commas or white space. Each is `*` (everything), a host that stands for its
 * subdomains too (`example.com`, `.example.com`, `*.example.com`), an IP address, a range (`10.0.0.0/8`), or a host or
 * an address with a port (`example.com:8443`, `[::1]:8443`).
 */
export function parseDirectHosts(text: string): { readonly hosts: DirectHosts; readonly problems: readonly string[] } {
  const rules: Rule[] = [];
  const problems: string[] = [];
  for (const member of text.split(/[\s,]+/)) {
    if (member === "") continue;
    const rule = parseRule(member.toLowerCase());
    if (rule) rules.push(rule);
    else problems.push(`"${member}" is not a host, .DOMAIN, HOST:PORT, address, range or *`);
  }
  const hosts = {
    includes: (url: URL) => {
      const host = bareHost(url);
      return isLoopback(host) || rules.some((rule) => rule(host, portOf(url)));
    },
  };
  return { hosts, problems };
}

function parseRule(member: string): Rule | undefined {
  if (member === "*") return () => true;
  const range = /^([0-9a-f.:]+)\/(\d{1,3})$/.exec(member);
  if (range) return rangeRule(range[1] ?? "", Number(range[2]));
  if (isIP(member) !== 0) return addressRule(member, undefined);
  const match = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(member);
  if (!match) return undefined;
  const [, bracketed, plain = "", port] = match;
  if (port !== undefined && (Number(port) < 1 || Number(port) > 65_535)) return undefined;
  const literal = bracketed ?? plain;
  if (isIP(literal) !== 0) return addressRule(literal, port);
  const name = plain.replace(/^\*?\./, "").replace(/\.$/, "");
  if (bracketed !== undefined || !/^[\p{L}\p{N}_-]+(?:\.[\p{L}\p{N}_-]+)*$/u.test(name)) return undefined;
  // URLs hold international names in ASCII.
  const ascii = URL.parse(`http://${name}`)?.hostname ?? name;
  return (host, other) => (host === ascii || host.endsWith(`.${ascii}`)) && (port === undefined || port === other);
}

function addressRule(address: string, port: string | undefined): Rule {
  const list = new BlockList();
  list.addAddress(address, isIP(address) === 4 ? "ipv4" : "ipv6");
  return (host, other) => contains(list, host) && (port === undefined || port === other);
}

function rangeRule(net: string, bits: number): Rule | undefined {
  const family = isIP(net);
  if (family === 0 || bits > (family === 4 ? 32 : 128)) return undefined;
  const list = new BlockList();
  list.addSubnet(net, bits, family === 4 ? "ipv4" : "ipv6");
  return (host) => contains(list, host);
}

/**
 * What a job's network may reach.
 * - `none`: only its own loopback.
 * - `public`: the internet except private, link-local, multicast and metadata addresses.
 * - `allow`: only the destinations of the rules.
 */
export type EgressPolicy =
  | { readonly kind: "none" }
  | { readonly kind: "public" }
  | { readonly kind: "allow"; readonly rules: readonly AllowRule[] };

/** One destination of an allow-list. `port` null means any port. */
export type AllowRule =
  | { readonly kind: "cidr"; readonly cidr: string; readonly port: number | null }
  | { readonly kind: "name"; readonly name: string; readonly subdomains: boolean; readonly port: number | null };

const label = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?";
const namePattern = new RegExp(`^(\\*\\.)?(${label}(?:\\.${label})+)$`);

/**
 * Parses one rule: `packages.example.com:443`, `*.example.org`, `10.1.2.3/32:5432`, `[2001:db8::/32]:443`.
 * Returns a description of the problem if the text is not a rule.
 */
export function parseAllowRule(text: string): AllowRule | { readonly kind: "invalid"; readonly problem: string } {
  const invalid = (problem: string) => ({ kind: "invalid", problem }) as const;
  const match = /^(?:\[([0-9a-fA-F:./]+)\]|([^:[\]\s]+))(?::(\d{1,5}))?$/.exec(text);
  if (!match) return invalid("write it as NAME[:PORT], *.NAME[:PORT], IPV4[/BITS][:PORT] or [IPV6[/BITS]][:PORT]");
  const port = match[3] === undefined ? null : Number(match[3]);
  if (port !== null && (port < 1 || port > 65_535)) return invalid(`port ${port} is not between 1 and 65535`);
  if (match[1] !== undefined) {
    const [address = "", bits = "128"] = match[1].split("/");
    if (!address.includes(":") || !(Number(bits) >= 0 && Number(bits) <= 128)) return invalid("not an IPv6 range");
    return { kind: "cidr", cidr: `${address.toLowerCase()}/${bits}`, port };
  }
  const host = (match[2] ?? "").toLowerCase();
  const ipv4 = /^(\d{1,3}(?:\.\d{1,3}){3})(?:\/(\d{1,2}))?$/.exec(host);
  if (ipv4) {
    const bits = Number(ipv4[2] ?? "32");
    if (bits > 32 || (ipv4[1] ?? "").split(".").some((part) => Number(part) > 255)) return invalid("not an IPv4 range");
    return { kind: "cidr", cidr: `${ipv4[1]}/${bits}`, port };
  }
  const name = namePattern.exec(host);
  // A last label that is a number is an address in another notation (`127.1`, `0x7f.1`), never a domain.
  if (!name || /(?:^|\.)(?:\d+|0x[0-9a-f]*)$/.test(host)) return invalid("not a domain name or an address range");
  return { kind: "name", name: name[2] ?? "", subdomains: name[1] !== undefined, port };
}

import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import type { Upstream } from "./upstream.ts";

const dnsPort = 53;
/** The C library's limit (resolv.conf(5), MAXNS). */
const maxUpstreams = 3;

/** Reads the name servers that the host itself uses. */
export async function readHostUpstreams(path = "/etc/resolv.conf"): Promise<readonly Upstream[]> {
  return parseResolvConf(await readFile(path, "utf8"));
}

export function parseResolvConf(text: string): readonly Upstream[] {
  return text
    .split("\n")
    .map((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1] ?? "")
    .filter((address) => isIP(address) !== 0)
    .slice(0, maxUpstreams)
    .map((address) => ({ address, port: dnsPort }));
}

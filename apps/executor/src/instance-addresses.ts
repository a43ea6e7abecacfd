import { lookup } from "node:dns/promises";

/**
 * The addresses of the instance, which no job may reach whatever its egress policy says. Asked once, at the start; none
 * when the name does not resolve now.
 */
export async function instanceAddresses(url: URL): Promise<readonly string[]> {
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const found = await lookup(host, { all: true }).catch(() => []);
  return found.map(({ address }) => address);
}

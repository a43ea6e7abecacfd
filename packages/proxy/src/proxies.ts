import type { DirectHosts } from "./direct-hosts.ts";
import type { ProxyServer } from "./parse-proxy-server.ts";

/** The proxies of a program's environment. */
export interface Proxies {
  /** The proxy for requests to this address; `null`: they go there directly. */
  forUrl(url: URL): ProxyServer | null;
  /** All proxies that may be used. */
  readonly servers: readonly ProxyServer[];
  /** The variables as they were given, for programs that choose the way themselves. May hold passwords. */
  readonly environment: Readonly<Record<string, string>>;
}

interface ProxyByScheme {
  readonly http: ProxyServer | null;
  readonly https: ProxyServer | null;
}

export function createProxies(
  { http, https }: ProxyByScheme,
  direct: DirectHosts,
  environment: Readonly<Record<string, string>>,
): Proxies {
  return {
    environment,
    forUrl: (url) => {
      if (direct.includes(url)) return null;
      if (url.protocol === "https:") return https;
      return url.protocol === "http:" ? http : null;
    },
    servers: [https, http].filter((server) => server !== null),
  };
}

/** Sends everything directly. */
export const noProxies: Proxies = { forUrl: () => null, servers: [], environment: {} };

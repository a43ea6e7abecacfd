import type { ProxyServer } from "./parse-proxy-server.ts";

/**
 * Settings for a git that contacts a server through this proxy. Pass them in git's environment: they hold the proxy's
 * credentials, and command lines are visible to other users. Git itself gets no proxy variables, so that the programs
 * of Airlock decide alike which addresses are contacted directly.
 * @param certificateFile PEM file with certificate authorities for a proxy with https.
 */
export function gitProxySettings(
  proxy: ProxyServer | null,
  certificateFile: string | null,
): Readonly<Record<string, string>> {
  if (!proxy) return {};
  return {
    "http.proxy": proxy.secretUrl,
    "http.proxyAuthMethod": "basic",
    ...(certificateFile !== null && proxy.url.protocol === "https:" ? { "http.proxySSLCAInfo": certificateFile } : {}),
  };
}

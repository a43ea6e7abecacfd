import { Agent, type buildConnector, type Dispatcher, Pool, ProxyAgent } from "undici";
import type { ProxyServer } from "./parse-proxy-server.ts";

interface AgentOptions extends Omit<Agent.Options, "connect" | "factory"> {
  /** TLS and lookup settings for connections to the servers. A proxy resolves names itself, so `lookup` has no effect. */
  readonly connect?: Partial<buildConnector.BuildOptions>;
}

/** How long a proxy may take to open a tunnel. */
const tunnelMs = 30_000;
const connectMs = 10_000;

/**
 * Creates the HTTP client for one way: directly, or through a proxy. A request by https goes through a tunnel
 * (`CONNECT`), so the proxy sees only host and port. A request by http is sent to the proxy with its whole address.
 */
export function createAgent(proxy: ProxyServer | null, options: AgentOptions): Dispatcher {
  if (!proxy) return new Agent(options);
  const { connect, ...others } = options;
  return new ProxyAgent({
    ...others,
    uri: proxy.url.href,
    ...(proxy.authorization === null ? {} : { token: proxy.authorization }),
    requestTls: { timeout: connectMs, ...connect },
    // A client certificate and authorities of one server say nothing about the proxy.
    proxyTls: { timeout: connectMs },
    // Without its own factory, the agent sends requests by http without the time limits in `options`.
    factory: (origin, settings) => new Pool(origin, { ...others, ...settings }),
    clientFactory: (origin, settings) => new Pool(origin, { ...settings, headersTimeout: tunnelMs }),
  });
}

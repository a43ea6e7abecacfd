import type { Dispatcher } from "undici";
import { createAgent } from "./create-agent.ts";
import type { Proxies } from "./proxies.ts";

/** HTTP clients for any address, each on the way that the environment prescribes. */
export class RoutedAgents implements AsyncDisposable {
  readonly #proxies: Proxies;
  readonly #options: Parameters<typeof createAgent>[1];
  readonly #agents = new Map<string, Dispatcher>();

  constructor(proxies: Proxies, options: Parameters<typeof createAgent>[1]) {
    this.#proxies = proxies;
    this.#options = options;
  }

  for(url: URL): Dispatcher {
    const proxy = this.#proxies.forUrl(url);
    const key = proxy?.variable ?? "";
    const known = this.#agents.get(key);
    if (known) return known;
    const made = createAgent(proxy, this.#options);
    this.#agents.set(key, made);
    return made;
  }

  /** Words for messages about a failed request: ` through the proxy http://HOST:PORT`, or nothing. */
  wayTo(url: URL): string {
    const proxy = this.#proxies.forUrl(url);
    return proxy ? ` through the proxy ${proxy.url.origin}` : "";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#agents.values()].map((agent) => agent.destroy()));
  }
}

import { isIP } from "node:net";
import { createAgent, type Proxies, type ProxyServer } from "@airlock/proxy";
import { type Dispatcher, fetch, type Response } from "undici";
import type { Abortable } from "../../contract/index.ts";
import { readRegistryCertificates } from "./registry-certificates.ts";
import {
  lookupWithin,
  mayReach,
  OutOfReachError,
  type Reach,
  reachOfAddress,
  reachOfHost,
  reachOfProxiedHost,
  refuseProxiedHost,
} from "./registry-reach.ts";

export interface RegistryRequest extends Abortable {
  readonly method: "GET" | "HEAD" | "POST";
  /** The body of a POST. Redirects of its answer are not followed. */
  readonly form?: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string>>;
  /** The registry (`HOST[:PORT]`) that sent us to this address. */
  readonly registry: string;
  /** Whether the registry itself is contacted over plain HTTP. */
  readonly isPlain: boolean;
}

const maximumRedirects = 5;
/** Limits the number of agents, because registries may redirect to any number of hosts. */
const maximumAgents = 100;

/**
 * Sends requests to registries and follows their redirects. Jobs name images, so a registry may be hostile (SSRF). A
 * redirect may not lead closer to this machine than the registry itself is. It may not downgrade TLS to plain HTTP.
 * Credentials of one host are never sent to another.
 */
export class RegistryConnections implements AsyncDisposable {
  readonly #certificatesDirectory: string | null;
  readonly #proxies: Proxies;
  readonly #agents = new Map<string, Promise<Dispatcher>>();

  constructor(certificatesDirectory: string | null, proxies: Proxies) {
    this.#certificatesDirectory = certificatesDirectory;
    this.#proxies = proxies;
  }

  /**
   * Returns the response after redirects.
   * @throws {OutOfReachError} when a redirect leads where it must not; otherwise the network's error.
   */
  async fetch(start: URL, { method, headers, form, registry, isPlain, signal }: RegistryRequest): Promise<Response> {
    let url = start;
    let sent = headers;
    for (let redirects = 0; redirects <= maximumRedirects; redirects += 1) {
      if (url.protocol !== "https:" && !(url.protocol === "http:" && isPlain)) {
        throw new OutOfReachError(`the registry redirects to ${url.protocol}//, which is not supported`);
      }
      const dispatcher = await this.#agent(url, registry, isPlain);
      const response = await fetch(url.href, {
        ...{ method, headers: sent, signal, dispatcher, redirect: "manual" as const },
        ...(form ? { body: new URLSearchParams(form) } : {}),
      }).catch((cause: unknown) => {
        throw this.#withWay(url, cause);
      });
      const location = response.headers.get("location");
      if (![301, 302, 303, 307, 308].includes(response.status) || location === null || form) return response;
      await response.body?.cancel();
      const next = URL.parse(location, url.href);
      if (!next) throw new OutOfReachError("the registry redirects to an invalid address");
      if (next.origin !== url.origin) sent = withoutAuthorization(sent);
      url = next;
    }
    throw new OutOfReachError(`the registry redirects more than ${maximumRedirects} times`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const agents = await Promise.allSettled(this.#agents.values());
    await Promise.all(agents.map((agent) => (agent.status === "fulfilled" ? agent.value.destroy() : undefined)));
  }

  #withWay(url: URL, cause: unknown): unknown {
    const proxy = this.#proxies.forUrl(url);
    return proxy ? new Error(`no answer through the proxy ${proxy.url.origin}`, { cause }) : cause;
  }

  async #agent(url: URL, registry: string, isPlain: boolean): Promise<Dispatcher> {
    const home = new URL(`${isPlain ? "http" : "https"}://${registry}`);
    if (url.hostname === home.hostname || registry === "docker.io") return this.#kept(url, undefined);
    const reach = await (this.#proxies.forUrl(home) ? reachOfProxiedHost : reachOfHost)(home.hostname);
    if (this.#proxies.forUrl(url)) {
      await refuseProxiedHost(url.hostname, reach);
      return this.#kept(url, reach);
    }
    const bare = url.hostname.replace(/^\[|\]$/g, "");
    // An address literal is never resolved, so check it here and not in `lookup`.
    if (isIP(bare) && !mayReach(reach, reachOfAddress(bare))) {
      throw new OutOfReachError(`the registry redirects to ${bare}, which is not allowed`);
    }
    return this.#kept(url, reach);
  }

  #kept({ protocol, host }: URL, reach: Reach | undefined): Promise<Dispatcher> {
    const key = `${protocol}//${host} ${reach ?? ""}`;
    const known = this.#agents.get(key);
    if (known) return known;
    const oldest = this.#agents.entries().next().value;
    if (oldest && this.#agents.size >= maximumAgents) {
      this.#agents.delete(oldest[0]);
      // Closes once its requests have ended.
      oldest[1].then((agent) => agent.close()).catch(() => {});
    }
    const made = this.#connect(host, this.#proxies.forUrl(new URL(`${protocol}//${host}`)), reach);
    this.#agents.set(key, made);
    // Don't cache a failure: an administrator may fix the file.
    made.catch(() => this.#agents.delete(key));
    return made;
  }

  async #connect(host: string, proxy: ProxyServer | null, reach: Reach | undefined): Promise<Dispatcher> {
    const directory = this.#certificatesDirectory;
    const certificates = directory === null ? undefined : await readRegistryCertificates(directory, host);
    const lookup = reach === undefined ? {} : { lookup: lookupWithin(reach) };
    return createAgent(proxy, {
      // The default timeouts of 300 s would occupy an executor slot for a registry that does not answer.
      ...{ headersTimeout: 30_000, bodyTimeout: 60_000 },
      connect: { timeout: 10_000, ...certificates, ...lookup },
    });
  }
}

function withoutAuthorization(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const { authorization: _, ...others } = headers;
  return others;
}

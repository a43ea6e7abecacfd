import { createHmac } from "node:crypto";
import { type LookupAddress, lookup } from "node:dns";
import type { LookupFunction } from "node:net";
import { errorMessage } from "@airlock/job";
import { type Proxies, RoutedAgents } from "@airlock/proxy";
import { checkWebhookUrl, isAllowedHost, isPublicAddress } from "./allowed-addresses.ts";

export interface SendResult {
  /** Of the answer; `null`: there was none. */
  readonly status: number | null;
  /** `null`: the receiver took the message. */
  readonly error: string | null;
}

/** Headers of Standard Webhooks. The signature covers the id, the time and the body. */
export function webhookHeaders(secret: string, id: string, timestamp: number, body: string): Record<string, string> {
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  const signature = createHmac("sha256", key).update(`${id}.${timestamp}.${body}`).digest("base64");
  return {
    "content-type": "application/json",
    "user-agent": "Airlock-Webhooks",
    "webhook-id": id,
    "webhook-timestamp": String(timestamp),
    "webhook-signature": `v1,${signature}`,
  };
}

/** Connections to receivers: only to public addresses, except for hosts that the administrator allows. */
export class WebhookConnections implements AsyncDisposable {
  readonly #allowedHosts: readonly string[];
  readonly #timeoutMs: number;
  readonly #guarded: RoutedAgents;
  readonly #open: RoutedAgents;

  constructor(options: {
    readonly proxies: Proxies;
    readonly allowedHosts: readonly string[];
    readonly timeoutMs: number;
    /** Resolves names. Default: as this machine does. */
    readonly lookup?: typeof lookup;
  }) {
    this.#allowedHosts = options.allowedHosts;
    this.#timeoutMs = options.timeoutMs;
    this.#guarded = new RoutedAgents(options.proxies, { connect: { lookup: publicLookup(options.lookup ?? lookup) } });
    this.#open = new RoutedAgents(options.proxies, {});
  }

  /** Sends one message. Never throws, and follows no redirects, which would lead around the check of addresses. */
  async send(
    url: URL,
    headers: Readonly<Record<string, string>>,
    body: string,
    stopping: AbortSignal,
  ): Promise<SendResult> {
    const late = AbortSignal.timeout(this.#timeoutMs);
    try {
      // The administrator may have changed what is allowed since the webhook was made.
      checkWebhookUrl(url, this.#allowedHosts);
      const agents = isAllowedHost(url, this.#allowedHosts) ? this.#open : this.#guarded;
      const answer = await agents.for(url).request({
        origin: url.origin,
        path: url.pathname + url.search,
        method: "POST",
        headers: { ...headers },
        body,
        signal: AbortSignal.any([stopping, late]),
      });
      // Its content is not used, however long it is.
      answer.body.on("error", () => {});
      answer.body.destroy();
      const { statusCode: status } = answer;
      return { status, error: status >= 200 && status < 300 ? null : `the receiver answered ${status}` };
    } catch (error) {
      const reason = late.aborted ? `no answer within ${this.#timeoutMs} ms` : errorMessage(error);
      return { status: null, error: reason.slice(0, 500) };
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#guarded[Symbol.asyncDispose](), this.#open[Symbol.asyncDispose]()]);
  }
}

/** Resolves a name for the connection itself, so that a second resolution can't answer with another address. */
function publicLookup(resolve: typeof lookup): LookupFunction {
  return (name, options, callback) => {
    resolve(name, { ...options, all: true }, (error, found: LookupAddress[] | undefined) => {
      const [first] = found ?? [];
      const refused = found?.find(({ address }) => !isPublicAddress(address));
      if (error || !first) callback(error ?? new Error(`${name} has no address`), "");
      else if (refused) callback(new Error(`${name} resolves to the private address ${refused.address}`), "");
      else if (options.all) callback(null, found ?? []);
      else callback(null, first.address, first.family);
    });
  };
}

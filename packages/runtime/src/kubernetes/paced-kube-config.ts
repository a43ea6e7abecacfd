import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { KubeConfig } from "@kubernetes/client-node";

/** As the kubelet's own limits. */
const perSecond = 50;
const burst = 100;

type Context = Parameters<KubeConfig["applySecurityAuthentication"]>[0];
type Dispatcher = Parameters<Context["setDispatcher"]>[0];
type DispatcherOptions = ReturnType<KubeConfig["createDispatcherOptions"]>;

/**
 * Limits how often an executor sends requests to the API server, so that hundreds of jobs don't overload it, for example
 * when it comes back after a failure. The client library asks its configuration for credentials before every request,
 * watch and connection, so no request goes past it.
 *
 * It also lets requests share their connections. The library makes a dispatcher for each request, which so has a
 * connection and a TLS handshake of its own.
 */
export class PacedKubeConfig extends KubeConfig {
  readonly #pace = new RequestPace({ perSecond, burst });

  #options: DispatcherOptions | undefined;
  #dispatcher: Dispatcher | undefined;

  /** Called right before each call of `setDispatcher`, with the credentials of that time. */
  override createDispatcherOptions(...given: Parameters<KubeConfig["createDispatcherOptions"]>): DispatcherOptions {
    const options = super.createDispatcherOptions(...given);
    if (!isDeepStrictEqual(options, this.#options)) this.#dispatcher = undefined;
    this.#options = options;
    return options;
  }

  override async applySecurityAuthentication(context: Context): Promise<void> {
    await this.#pace.turn();
    const set = context.setDispatcher.bind(context);
    context.setDispatcher = (made) => {
      this.#dispatcher ??= made;
      set(this.#dispatcher);
    };
    await super.applySecurityAuthentication(context);
  }

  override async applyToHTTPSOptions(options: Parameters<KubeConfig["applyToHTTPSOptions"]>[0]): Promise<void> {
    await this.#pace.turn();
    await super.applyToHTTPSOptions(options);
  }
}

/** A number of turns per second, after a burst, in the order of the calls. */
export class RequestPace {
  readonly #intervalMs: number;
  readonly #burst: number;
  /** When the next turn is due, as `performance.now()`. It lies in the past while part of the burst is left. */
  #dueAt = Number.NEGATIVE_INFINITY;

  constructor({ perSecond: rate, burst: atOnce }: { readonly perSecond: number; readonly burst: number }) {
    this.#intervalMs = 1_000 / rate;
    this.#burst = atOnce;
  }

  async turn(): Promise<void> {
    const now = performance.now();
    const dueAt = Math.max(this.#dueAt, now - (this.#burst - 1) * this.#intervalMs);
    this.#dueAt = dueAt + this.#intervalMs;
    if (dueAt > now) await sleep(dueAt - now);
  }
}

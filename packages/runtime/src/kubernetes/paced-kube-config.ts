import { setTimeout as sleep } from "node:timers/promises";
import { KubeConfig } from "@kubernetes/client-node";

/** As the kubelet's own limits. */
const perSecond = 50;
const burst = 100;

/**
 * Limits how often an executor sends requests to the API server, so that hundreds of jobs don't overload it, for example
 * when it comes back after a failure. The client library asks its configuration for credentials before every request,
 * watch and connection, so no request goes past it.
 */
export class PacedKubeConfig extends KubeConfig {
  readonly #pace = new RequestPace({ perSecond, burst });

  override async applySecurityAuthentication(
    context: Parameters<KubeConfig["applySecurityAuthentication"]>[0],
  ): Promise<void> {
    await this.#pace.turn();
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

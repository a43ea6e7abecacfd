import { errorMessage } from "@airlock/job";
import type { Proxies } from "@airlock/proxy";
import { sql } from "kysely";
import type { Sealer } from "../sealing/sealer.ts";
import type { Database } from "../store/database.ts";
import { WebhookConnections, webhookHeaders } from "./send-webhook.ts";
import { webhookContext } from "./webhook-rows.ts";

/** Waits before the second and later tries, as Standard Webhooks recommends. After them, the delivery has failed. */
const waitsS = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400] as const;
const timeoutMs = 15_000;
/** Longer than a try, so that only a crashed sender loses its lease. */
const leaseMs = 60_000;
const maxRunning = 32;
/** A slow receiver must not keep others waiting. */
const maxRunningOfWebhook = 4;

export interface WebhookSenderOptions {
  readonly db: Database;
  readonly sealer: Sealer;
  readonly proxies: Proxies;
  readonly allowedHosts: readonly string[];
  readonly onError: (message: string) => void;
}

interface ClaimedDelivery {
  readonly id: number;
  readonly webhook: number;
  readonly body: string;
  readonly tries: number;
  readonly url: string;
  readonly namespace: string;
  readonly sealed: Buffer;
}

/** Sends the deliveries in the database. All that it has to remember is there, so any number of instances may do this. */
export class WebhookSender implements AsyncDisposable {
  readonly #options: WebhookSenderOptions;
  readonly #connections: WebhookConnections;
  readonly #stopping = new AbortController();
  readonly #running = new Set<Promise<void>>();

  constructor(options: WebhookSenderOptions) {
    this.#options = options;
    this.#connections = new WebhookConnections({ ...options, timeoutMs });
  }

  /** Takes what is due and starts sending it, without waiting for receivers. */
  async takeDue(): Promise<void> {
    const room = maxRunning - this.#running.size;
    if (room <= 0 || this.#stopping.signal.aborted) return;
    for (const delivery of await claim(this.#options.db, room)) {
      const work = this.#deliver(delivery)
        .catch((error: unknown) => this.#options.onError(errorMessage(error)))
        .finally(() => this.#running.delete(work));
      this.#running.add(work);
    }
  }

  async #deliver({ id, webhook, body, tries, url, namespace, sealed }: ClaimedDelivery): Promise<void> {
    const { db, sealer } = this.#options;
    const at = new Date();
    const secret = sealer.open(webhookContext({ namespace }), sealed);
    const headers = webhookHeaders(secret, `msg_${id}`, Math.floor(at.getTime() / 1000), body);
    const result = await this.#connections.send(new URL(url), headers, body, this.#stopping.signal);
    // Another sender repeats it, once the lease has ended.
    if (result.error !== null && this.#stopping.signal.aborted) return;
    const durationMs = Date.now() - at.getTime();
    const isGone = result.status === 410;
    const waitS = result.error === null || isGone ? undefined : waitsS[tries - 1];
    // Spread, so that a receiver that was away does not get everything at once.
    const nextS = waitS === undefined ? 0 : waitS * (1 + Math.random() / 10);
    const state = result.error === null ? "delivered" : waitS === undefined ? "failed" : "pending";
    await db.transaction().execute(async (transaction) => {
      const { rows } = await sql`
        update webhook_deliveries set state = ${state}, lease_expires_at = null,
          visible_at = airlock_now() + make_interval(secs => ${nextS}::float8)
        where id = ${id} and tries = ${tries} and lease_expires_at is not null returning id`.execute(transaction);
      if (rows.length === 0) return;
      await sql`
        insert into webhook_tries (delivery, try, at, duration_ms, status, error)
        values (${id}, ${tries}, ${at}, ${durationMs}, ${result.status}, ${result.error})
        on conflict do nothing`.execute(transaction);
      // The receiver says that it wants no more.
      if (isGone) await sql`update webhooks set enabled = false where id = ${webhook}`.execute(transaction);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort(new Error("the instance is stopping"));
    await Promise.all(this.#running);
    await this.#connections[Symbol.asyncDispose]();
  }
}

/** Takes due deliveries with a lease. Those of a disabled webhook wait. */
async function claim(db: Database, room: number): Promise<ClaimedDelivery[]> {
  const { rows } = await sql<ClaimedDelivery>`
    with due as (
      select id from (
        select d.id, d.visible_at, row_number() over (partition by d.webhook order by d.visible_at, d.id)
          + (select count(*) from webhook_deliveries o
             where o.webhook = d.webhook and o.state = 'pending' and o.lease_expires_at > airlock_now()) as place
        from webhook_deliveries d join webhooks w on w.id = d.webhook and w.enabled
        where d.state = 'pending' and d.visible_at <= airlock_now()
          and (d.lease_expires_at is null or d.lease_expires_at <= airlock_now())
      ) waiting
      where place <= ${maxRunningOfWebhook} order by visible_at, id limit ${room}
    )
    update webhook_deliveries d set tries = d.tries + 1,
      lease_expires_at = airlock_now() + make_interval(secs => ${leaseMs / 1000}::float8)
    from webhooks w
    where d.id in (select id from due) and w.id = d.webhook
      -- Evaluated again for a row that another sender has just taken.
      and d.state = 'pending' and (d.lease_expires_at is null or d.lease_expires_at <= airlock_now())
    returning d.id, d.webhook, d.body, d.tries, w.url, w.namespace, w.sealed`.execute(db);
  return rows;
}

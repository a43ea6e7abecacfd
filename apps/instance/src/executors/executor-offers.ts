import type { ResourceOffer } from "../queues/dequeue-job.ts";
import type { Database } from "../store/database.ts";

/** Capabilities and resources that an executor reports when it asks for a job. */
export interface ExecutorOffer extends ResourceOffer {
  readonly capabilities: readonly string[];
}

const maxRemembered = 10_000;

/**
 * Records what executors offer, so that the explanation of a job can say when no executor can run it. Executors ask
 * often and offer the same, so only changes are written.
 */
export class ExecutorOffers {
  readonly #db: Database;
  readonly #written = new Map<string, string>();

  constructor(db: Database) {
    this.#db = db;
  }

  async record(executor: string, offer: ExecutorOffer): Promise<void> {
    const digest = JSON.stringify(offer);
    if (this.#written.get(executor) === digest) return;
    const written = await this.#db
      .updateTable("executors")
      .set({
        cpu_millis: offer.cpuMillis,
        memory_bytes: offer.memoryBytes,
        disk_bytes: offer.diskBytes,
        capabilities: [...new Set(offer.capabilities)].slice(0, 100),
      })
      .where("name", "=", executor)
      .returning("name")
      .executeTakeFirst();
    // The executor has no row before its first heartbeat.
    if (!written) return;
    if (this.#written.size >= maxRemembered) this.#written.clear();
    this.#written.set(executor, digest);
  }
}

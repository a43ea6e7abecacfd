import type { ResourceOffer } from "../queues/dequeue-job.ts";
import type { Database } from "../store/database.ts";

/** What an executor says of itself when it asks for a job. */
export interface ExecutorOffer extends ResourceOffer {
  readonly capabilities: readonly string[];
}

const maxRemembered = 10_000;

/**
 * Puts what executors offer on record, so that a job which none of them can run says so. Executors ask all the time and
 * offer the same: only a change is written.
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
    // Before its first heartbeat there is nothing to write to.
    if (!written) return;
    if (this.#written.size >= maxRemembered) this.#written.clear();
    this.#written.set(executor, digest);
  }
}

import { queueNames } from "../../queues/queue-settings.ts";
import type { Database } from "../../store/database.ts";

/** Knows which queues exist. Queues are never deleted, so a name that was found once is not looked up again. */
export class KnownQueues {
  readonly #db: Database;
  #names = new Set<string>();

  constructor(db: Database) {
    this.#db = db;
  }

  async has(name: string): Promise<boolean> {
    return this.hasAll([name]);
  }

  async hasAll(names: readonly string[]): Promise<boolean> {
    return (await this.unknown(names)).length === 0;
  }

  /** Returns the names that are not queues. */
  async unknown(names: readonly string[]): Promise<readonly string[]> {
    if (names.some((name) => !this.#names.has(name))) this.#names = new Set(await queueNames(this.#db));
    return names.filter((name) => !this.#names.has(name));
  }
}

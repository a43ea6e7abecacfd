import { networkOf } from "../../accounts/sign-in-limits.ts";
import { type AuditEvent, type AuditSource, recordAudit } from "../../audit/audit-log.ts";
import type { Database } from "../../store/database.ts";

const windowMs = 10 * 60_000;
const maxKeys = 1000;

interface Window {
  readonly endsAt: number;
  readonly by: AuditSource;
  readonly event: AuditEvent;
  /** Refusals after the recorded one. */
  repeated: number;
}

/**
 * Records refused requests. Strangers can cause any number of them, so the log has the first of each kind and network at
 * once, and counts the others of ten minutes in one more entry.
 */
export class RefusalLog {
  readonly #db: Database;
  readonly #now: () => number;
  readonly #windows = new Map<string, Window>();

  /** @param now Time in ms, of a clock that never goes back. */
  constructor(db: Database, now: () => number = () => performance.now()) {
    this.#db = db;
    this.#now = now;
  }

  async record(by: AuditSource, event: AuditEvent): Promise<void> {
    const { action, target, details = {} } = event;
    const named = JSON.stringify([action, networkOf(by.address ?? ""), by.actor, target?.name, details.code]);
    const key = this.#windows.has(named) || this.#windows.size < maxKeys ? named : `${action} of many networks`;
    const window = this.#windows.get(key);
    if (window && window.endsAt > this.#now()) {
      window.repeated += 1;
      return;
    }
    if (window) await this.#close(key, window);
    this.#windows.set(key, { endsAt: this.#now() + windowMs, by, event, repeated: 0 });
    try {
      await recordAudit(this.#db, by, [event]);
    } catch (error) {
      // The next one is the first in the log then.
      this.#windows.delete(key);
      throw error;
    }
  }

  /** Writes the counts of windows that have ended. */
  async sweep(): Promise<void> {
    for (const [key, window] of this.#windows) {
      if (window.endsAt <= this.#now()) await this.#close(key, window);
    }
  }

  async #close(key: string, { by, event, repeated }: Window): Promise<void> {
    this.#windows.delete(key);
    if (repeated === 0) return;
    await recordAudit(this.#db, by, [{ ...event, details: { ...event.details, repeated } }]);
  }
}

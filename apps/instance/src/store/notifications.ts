import { randomUUID } from "node:crypto";
import { pause } from "@airlock/async";
import { errorMessage } from "@airlock/job";
import pg from "pg";

/** A message between instances. It only says where to look; the tables hold the data. */
export type Notice =
  /** A job of this queue may be handed out. */
  | { readonly kind: "queued"; readonly queue: string }
  /** A job's state changed. */
  | { readonly kind: "job"; readonly job: number }
  /** A job's log grew. */
  | { readonly kind: "log"; readonly job: number }
  /** A job's running attempt has to stop. */
  | { readonly kind: "cancel"; readonly job: number; readonly attempt: number; readonly executor: string }
  /** An executor appeared, disappeared or changed. */
  | { readonly kind: "executor"; readonly executor: string };

export type NoticeListener = (notice: Notice) => void;

const channel = "airlock";
/** PostgreSQL refuses payloads of 8000 bytes or more. */
const maxPayloadBytes = 7500;
const reconnectDelayMs = 500;

export interface NotificationsOptions {
  readonly url: string;
  readonly onError?: (message: string) => void;
}

/**
 * Sends notices to every instance on the database. Listeners in this process are called at once. Other instances get
 * them by `NOTIFY` on a separate connection. Notices that arrive during one `NOTIFY` are sent together and without
 * duplicates, so that a busy queue doesn't cost one commit per job. Delivery is best effort: code that depends on a
 * notice must also poll from time to time.
 */
export class Notifications implements AsyncDisposable {
  readonly #options: NotificationsOptions;
  readonly #source = randomUUID();
  readonly #listeners = new Set<NoticeListener>();
  readonly #pending = new Map<string, Notice>();
  readonly #stopped = new AbortController();
  #client: pg.Client | null = null;
  #sendScheduled = false;
  #sending: Promise<void> = Promise.resolve();
  #running: Promise<void>;

  constructor(options: NotificationsOptions) {
    this.#options = options;
    this.#running = this.#keepConnected();
  }

  /** The listener must not throw. Returns a function that unsubscribes. */
  subscribe(listener: NoticeListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  publish(...notices: readonly Notice[]): void {
    for (const notice of notices) {
      this.#deliver(notice);
      this.#pending.set(JSON.stringify(notice), notice);
    }
    if (this.#sendScheduled) return;
    this.#sendScheduled = true;
    this.#sending = this.#sending.then(() => this.#sendPending());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped.abort(new Error("the instance is stopping"));
    this.#listeners.clear();
    this.#pending.clear();
    await this.#sending;
    await this.#client?.end().catch(() => {}); // The connection may be broken already; it is gone either way.
    await this.#running;
  }

  #deliver(notice: Notice): void {
    for (const listener of this.#listeners) listener(notice);
  }

  async #sendPending(): Promise<void> {
    this.#sendScheduled = false;
    const notices = [...this.#pending.values()];
    this.#pending.clear();
    const client = this.#client;
    if (!client || notices.length === 0) return;
    try {
      for (const payload of payloads(this.#source, notices)) {
        await client.query("select pg_notify($1, $2)", [channel, payload]);
      }
    } catch (error) {
      if (!this.#stopped.signal.aborted) this.#options.onError?.(errorMessage(error));
    }
  }

  async #keepConnected(): Promise<void> {
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      const client = new pg.Client({
        connectionString: this.#options.url,
        application_name: "airlock-listen",
        keepAlive: true,
      });
      const ended = new Promise<void>((resolve) => {
        client.once("end", resolve);
        // A broken connection may report several errors. One without a listener would end the process.
        client.on("error", (error) => {
          if (!signal.aborted) this.#options.onError?.(errorMessage(error));
          resolve();
        });
      });
      client.on("notification", (message) => this.#receive(message.payload ?? ""));
      try {
        await client.connect();
        await client.query(`listen ${channel}`);
        this.#client = client;
        if (signal.aborted) await client.end();
        await ended;
      } catch (error) {
        if (!signal.aborted) this.#options.onError?.(errorMessage(error));
        await client.end().catch(() => {}); // The connection failed or broke, so there is nothing to close.
      }
      this.#client = null;
      await pause(reconnectDelayMs, signal);
    }
  }

  #receive(payload: string): void {
    const message = parsePayload(payload);
    if (message === undefined || message.source === this.#source) return;
    for (const notice of message.notices) this.#deliver(notice);
  }
}

function* payloads(source: string, notices: readonly Notice[]): Generator<string> {
  let group: Notice[] = [];
  let bytes = 0;
  for (const notice of notices) {
    const size = Buffer.byteLength(JSON.stringify(notice)) + 1;
    if (bytes + size > maxPayloadBytes && group.length > 0) {
      yield JSON.stringify({ source, notices: group });
      group = [];
      bytes = 0;
    }
    group.push(notice);
    bytes += size;
  }
  if (group.length > 0) yield JSON.stringify({ source, notices: group });
}

/** Parses an untrusted payload. Another version of Airlock, or any client of the database, may have sent it. */
function parsePayload(text: string): { source: string; notices: Notice[] } | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null || !("source" in value) || !("notices" in value)) return undefined;
    if (typeof value.source !== "string" || !Array.isArray(value.notices)) return undefined;
    return { source: value.source, notices: value.notices.filter(isNotice) };
  } catch {
    return undefined;
  }
}

function isNotice(value: unknown): value is Notice {
  if (typeof value !== "object" || value === null || !("kind" in value)) return false;
  const fields = value as Record<string, unknown>;
  switch (fields.kind) {
    case "queued":
      return typeof fields.queue === "string";
    case "job":
    case "log":
      return typeof fields.job === "number";
    case "cancel":
      return (
        typeof fields.job === "number" && typeof fields.attempt === "number" && typeof fields.executor === "string"
      );
    case "executor":
      return typeof fields.executor === "string";
    default:
      return false;
  }
}

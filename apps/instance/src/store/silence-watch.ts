import pg from "pg";

/** Statements that take longer than this make the watch ask whether the server still answers. */
const suspectMs = 15_000;
/** Time for that answer. */
const answerMs = 5000;

export interface SilenceWatchOptions {
  readonly url: string;
  readonly suspectMs?: number;
}

/**
 * Notices a database that keeps its connections open but answers nothing, for example a frozen server or a lost network
 * path. A time limit on statements would not do: migrations and large deletions may take long. So the watch asks the
 * server on a new connection, and gives up a statement only if that isn't answered either.
 */
export class SilenceWatch {
  readonly #url: string;
  readonly #suspectMs: number;
  #asking: Promise<boolean> | null = null;

  constructor(options: SilenceWatchOptions) {
    this.#url = options.url;
    this.#suspectMs = options.suspectMs ?? suspectMs;
  }

  /** Calls `giveUp` if the statement is still unanswered when the server does not answer. */
  async guard<T>(statement: Promise<T>, giveUp: () => void): Promise<T> {
    let pending = true;
    const timer = setInterval(async () => {
      if (!(await this.#serverAnswers()) && pending) giveUp();
    }, this.#suspectMs);
    try {
      return await statement;
    } finally {
      pending = false;
      clearInterval(timer);
    }
  }

  /** Statements that are suspected at the same time share one question. */
  #serverAnswers(): Promise<boolean> {
    this.#asking ??= serverAnswers(this.#url).finally(() => {
      this.#asking = null;
    });
    return this.#asking;
  }
}

async function serverAnswers(url: string): Promise<boolean> {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: answerMs,
    query_timeout: answerMs,
    application_name: "airlock-watch",
  });
  // An error without a listener would end the process. The statement below rejects as well.
  client.on("error", () => {});
  try {
    await client.connect();
    await client.query("select 1");
    return true;
  } catch (error) {
    // For example, it may have too many connections.
    return error instanceof pg.DatabaseError;
  } finally {
    // end() waits for the server, which may never answer.
    void client.end().catch(() => {});
  }
}

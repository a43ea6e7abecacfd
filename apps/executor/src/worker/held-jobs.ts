import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { DequeuedJob } from "../instance-client/dequeued-job.ts";

/** A running attempt, as recorded in the data directory. */
export type HeldJob = z.output<typeof HeldJob>;
const HeldJob = z.object({
  /** The name under which the executor took the job. The current name differs if the host's name has changed. */
  executorName: z.string(),
  queue: z.string(),
  id: z.int().positive(),
  attempt: z.int().positive(),
  token: z.string().min(1),
});

/**
 * Records the running attempts as files with their tokens. After a kill, the next executor on this data directory hands
 * them back, so the instance need not wait for leases to lapse. Only attempts of Airlock instances are recorded, since
 * those can tell attempts apart. The files are not synced to the disk: if a power cut loses them, the lease lapses.
 */
export class HeldJobs {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
  }

  async add(executorName: string, { payload, queue }: DequeuedJob): Promise<void> {
    if (!payload.airlock || payload.token === "") return;
    const held: HeldJob = {
      executorName,
      queue,
      id: payload.id,
      attempt: payload.airlock.attempt,
      token: payload.token,
    };
    const file = this.#file(held);
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    await writeFile(`${file}.tmp`, JSON.stringify(held), { mode: 0o600 });
    await rename(`${file}.tmp`, file);
  }

  async remove({ payload, queue }: DequeuedJob): Promise<void> {
    if (!payload.airlock || payload.token === "") return;
    await this.forget({ queue, id: payload.id, attempt: payload.airlock.attempt });
  }

  async forget(held: Pick<HeldJob, "queue" | "id" | "attempt">): Promise<void> {
    await rm(this.#file(held), { force: true });
  }

  /** Returns the records of an earlier process. Removes files that are not valid records. */
  async left(): Promise<HeldJob[]> {
    const names = await readdir(this.#dir).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return [];
      throw error;
    });
    const found: HeldJob[] = [];
    for (const name of names) {
      const path = join(this.#dir, name);
      const held = HeldJob.safeParse(parseJson(await readFile(path, "utf8")));
      if (held.success && this.#file(held.data) === path) found.push(held.data);
      else await rm(path, { force: true });
    }
    return found;
  }

  #file({ queue, id, attempt }: Pick<HeldJob, "queue" | "id" | "attempt">): string {
    return join(this.#dir, `${encodeURIComponent(queue)}-${id}-${attempt}.json`);
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // A killed process left this file half-written, so it is not a record.
    return undefined;
  }
}

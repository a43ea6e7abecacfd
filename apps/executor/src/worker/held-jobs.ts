import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { DequeuedJob } from "../instance-client/dequeued-job.ts";

/** An attempt that this data directory's executor held when it was last heard of. */
export type HeldJob = z.output<typeof HeldJob>;
const HeldJob = z.object({
  /** The name under which the executor took it; another one than now where the host's name has changed. */
  executorName: z.string(),
  queue: z.string(),
  id: z.int().positive(),
  attempt: z.int().positive(),
  token: z.string().min(1),
});

/**
 * The attempts that run, as files with their tokens, so that the next executor on this data directory can give back what
 * a killed one held: the instance need not wait for leases to lapse. Only attempts of instances that can tell them
 * apart are kept. Nothing of it is synced to the disk: what a power cut takes is found by its lease.
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

  /** What an earlier process left. Files that are no such records are removed. */
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
    // Half-written by a process that was killed: no record.
    return undefined;
  }
}

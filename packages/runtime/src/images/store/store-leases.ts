import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { errorCode } from "../../host/error-code.ts";

/** Protects the parts of the store that a caller relies on until it is disposed. */
export interface StoreHold extends Disposable {
  /** Once this resolves, these names can't be evicted. Check that they still exist only *after* it resolves. */
  add(names: readonly string[]): Promise<void>;
}

const Lease = z.object({ names: z.array(z.string()) });

/**
 * How long the lease of a process counts that we can't see, because it may run in another pid namespace. Every process
 * touches its lease whenever it collects.
 */
const silenceMs = 10 * 60_000;

/**
 * Coordinates the processes that share a store.
 * - Each process has one file with the names that it relies on. It writes a name before it checks that the part exists.
 * - A process that removes parts first announces it in a marker file and then reads the files of the others.
 * So either the collector sees the name, or the other process sees the marker and waits.
 */
export class StoreLeases {
  readonly #directory: string;
  readonly #file: string;
  readonly #marker: string;
  readonly #identity: string;
  /** Number of holders of each name. Names without holders stay in the list until this process collects. */
  readonly #holders = new Map<string, number>();
  #written: Promise<void> = Promise.resolve();

  constructor(directory: string) {
    this.#directory = directory;
    this.#identity = processIdentity();
    this.#file = join(directory, `${this.#identity}-${randomUUID()}.json`);
    this.#marker = join(directory, "collecting");
  }

  hold(): StoreHold {
    const held: string[] = [];
    return {
      add: async (names) => {
        const fresh = names.filter((name) => !this.#holders.has(name));
        for (const name of names) this.#holders.set(name, (this.#holders.get(name) ?? 0) + 1);
        held.push(...names);
        if (fresh.length > 0) this.#write();
        await this.#written;
        await this.#untilNobodyCollects();
      },
      [Symbol.dispose]: () => {
        for (const name of held.splice(0)) this.#holders.set(name, Math.max(0, (this.#holders.get(name) ?? 0) - 1));
      },
    };
  }

  /** Calls `work` with the names that must not be removed. Resolves to `false` if another process is collecting. */
  async collect(work: (inUse: ReadonlySet<string>) => Promise<void>): Promise<boolean> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    if (!(await this.#announce())) return false;
    try {
      for (const [name, holders] of this.#holders) if (holders === 0) this.#holders.delete(name);
      this.#write();
      await this.#written;
      await work(await this.#namesInUse());
      return true;
    } finally {
      await rm(this.#marker, { force: true });
    }
  }

  async close(): Promise<void> {
    await this.#written.catch(() => {});
    await rm(this.#file, { force: true });
  }

  #write(): void {
    const before = this.#written.catch(() => {});
    this.#written = before.then(async () => {
      await mkdir(this.#directory, { recursive: true, mode: 0o700 });
      const temporary = `${this.#file}.new`;
      await writeFile(temporary, JSON.stringify({ names: [...this.#holders.keys()] }), { mode: 0o600 });
      await rename(temporary, this.#file);
    });
    this.#written.catch(() => {});
  }

  async #announce(): Promise<boolean> {
    for (let attempt = 0; attempt < 2; attempt += 1) {
      try {
        await writeFile(this.#marker, this.#identity, { flag: "wx", mode: 0o600 });
        return true;
      } catch (error) {
        if (errorCode(error) !== "EEXIST") throw error;
      }
      if (await this.#isCollecting()) return false;
      await rm(this.#marker, { force: true });
    }
    return false;
  }

  async #isCollecting(): Promise<boolean> {
    const identity = await readFile(this.#marker, "utf8").catch(ifMissing);
    if (identity === undefined) return false;
    if (identity === this.#identity || isAlive(identity)) return true;
    const marker = await stat(this.#marker).catch(ifMissing);
    return marker !== undefined && Date.now() - marker.mtimeMs < silenceMs && identity === "";
  }

  /** Short: a collection only renames a few files. */
  async #untilNobodyCollects(): Promise<void> {
    while (await this.#isCollecting()) await sleep(5);
  }

  async #namesInUse(): Promise<ReadonlySet<string>> {
    const now = new Date();
    await utimes(this.#file, now, now);
    const names = new Set<string>(this.#holders.keys());
    for (const file of await readdir(this.#directory)) {
      if (!file.endsWith(".json")) continue;
      const path = join(this.#directory, file);
      const lease = await stat(path).catch(ifMissing);
      if (!lease) continue;
      if (!isAlive(file) && now.getTime() - lease.mtimeMs > silenceMs) {
        await rm(path, { force: true });
        continue;
      }
      const text = await readFile(path, "utf8").catch(ifMissing);
      if (text !== undefined) for (const name of Lease.parse(JSON.parse(text)).names) names.add(name);
    }
    return names;
  }
}

/** Identifies this process among all processes of the machine since its start. */
export function processIdentity(): string {
  return `${process.pid}-${startOf(process.pid)}`;
}

/**
 * Whether the process of an identity is alive. An identity begins with its process id and start time, because ids alone
 * are reused.
 */
export function isAlive(identity: string): boolean {
  const [, pid = "", start = ""] = /^(\d+)-(\d+)/.exec(identity) ?? [];
  return pid !== "" && startOf(Number(pid)) === start;
}

function startOf(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The program's name may contain anything. `starttime` is the twentieth field after it.
    return text.slice(text.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return undefined;
  }
}

function ifMissing(error: unknown): undefined {
  if (errorCode(error) !== "ENOENT") throw error;
}

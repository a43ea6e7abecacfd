import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { pause } from "@airlock/async";
import { errorMessage } from "@airlock/job";
import type { Runtime } from "@airlock/runtime";
import { type Trash, unmountBelow } from "@airlock/runtime/host-disk";
import type { Logger } from "pino";
import type { RepositoryCache } from "../workspace/cache/repository-cache.ts";
import { type JobDirectories, ownerMarker } from "../workspace/job-directory.ts";
import { collectTestVms } from "./test-vm-place.ts";

export interface JanitorOptions {
  readonly owner: string;
  readonly dataDir: string;
  readonly runtime: Runtime;
  readonly activeSandboxes: ReadonlySet<string>;
  readonly jobsDir: string;
  readonly jobDirectories: JobDirectories;
  readonly trash: Trash;
  readonly repositories: RepositoryCache;
  readonly intervalMs: number;
  readonly logger: Logger;
}

/** Time limit for one round, because an engine may never answer. */
const roundMs = 10 * 60_000;

/** Collects what crashed runs left behind: at start and at regular intervals. */
export class Janitor {
  readonly #options: JanitorOptions;

  constructor(options: JanitorOptions) {
    this.#options = options;
  }

  /** Runs a round at each interval until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (await pause(this.#options.intervalMs, signal)) await this.round(signal);
  }

  /**
   * Runs one round and resolves to whether every part succeeded. A part that fails is logged and tried again in the
   * next round. The other parts still run.
   */
  async round(outer: AbortSignal): Promise<boolean> {
    const { logger } = this.#options;
    const signal = AbortSignal.any([outer, AbortSignal.timeout(roundMs)]);
    const parts = {
      testVms: () => this.#collectTestVms(signal),
      // Sandboxes come first, because their workspaces are mounted above files in the jobs' directories.
      sandboxes: () => this.#collectSandboxes(signal),
      jobs: () => this.#collectJobDirectories(signal),
      trash: () => this.#options.trash.sweep(),
      caches: () => this.#options.repositories.evict(signal),
      images: () => this.#evictImages(signal),
    };
    let succeeded = true;
    for (const [part, collect] of Object.entries(parts)) {
      try {
        await collect();
      } catch (error) {
        succeeded = false;
        if (!outer.aborted) logger.warn({ part, error: errorMessage(error) }, "removing leftovers failed");
      }
    }
    return succeeded;
  }

  async #collectSandboxes(signal: AbortSignal): Promise<void> {
    const { runtime, owner, activeSandboxes, logger } = this.#options;
    const { sandboxes, details } = await runtime.collect({ owner, keep: activeSandboxes, signal });
    if (sandboxes > 0) logger.info({ sandboxes, details }, "removed sandboxes that an earlier run left behind");
  }

  async #collectTestVms(signal: AbortSignal): Promise<void> {
    const { runtime, dataDir, logger } = this.#options;
    if (runtime.name !== "microvm") return;
    for (const name of await collectTestVms(dataDir, runtime, signal))
      logger.info({ name }, "removed a test machine whose process was killed");
  }

  async #evictImages(signal: AbortSignal): Promise<void> {
    const { runtime, logger } = this.#options;
    for (const detail of await runtime.evictImages({ signal })) logger.info({ detail }, "removed to free disk space");
  }

  async #collectJobDirectories(signal: AbortSignal): Promise<void> {
    const { jobsDir, jobDirectories, trash, logger } = this.#options;
    const names = await readdir(jobsDir).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return [];
      throw error;
    });
    for (const name of names) {
      const dir = join(jobsDir, name);
      const marker = await readFile(join(dir, ownerMarker), "utf8").catch(() => undefined);
      // Without the marker, another program made the directory, or this executor is just creating it.
      if (marker === undefined || jobDirectories.active.has(dir)) continue;
      await unmountBelow(dir, signal);
      await trash.add(dir);
      logger.info({ dir }, "removed a job's directory that an earlier run left behind");
    }
  }
}

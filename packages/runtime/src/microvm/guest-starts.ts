import { createHash } from "node:crypto";
import { mkdir, readdir, rename, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { AirlockError, isNoSpace } from "@airlock/job";
import { abandonable } from "../contract/abandonable.ts";
import type { Abortable } from "../contract/index.ts";
import { errorCode } from "../host/error-code.ts";
import { cannotWrite } from "./disks/cannot-write.ts";
import type { RunningVm, VmMonitor, VmPlan, VmSnapshot } from "./monitor/vm-monitor.ts";

/** The plan of a machine that is started only to be copied. */
export interface CopiedPlan extends VmPlan {
  /** An empty directory for the snapshot, on the file system of all snapshots. What a killed process leaves is collected. */
  readonly scratch: string;
}

export interface GuestStartsOptions {
  readonly monitor: VmMonitor;
  /** Absolute path of the directory for snapshots. Created, private to this user, if it is missing. */
  readonly directory: string;
  /**
   * Makes a plan of the same shape as another one, for a machine that is started only to be copied. Disposing of it
   * removes its directories and disks.
   */
  readonly planAlike: (plan: VmPlan) => Promise<CopiedPlan & AsyncDisposable>;
  /** Told of snapshots that could not be made. Jobs then boot their machines. */
  readonly onProblem: (problem: unknown) => void;
}

/** Each is about as large as the memory that a booted guest uses. */
const maximumSnapshots = 8;

/**
 * Starts guests: copies of a snapshot where one fits, and otherwise by booting. The first boot of a shape of machine has
 * a snapshot made for the next ones, in the background.
 */
export class GuestStarts implements AsyncDisposable {
  readonly #options: GuestStartsOptions;
  readonly #closing = new AbortController();
  readonly #making = new Map<string, Promise<void>>();

  constructor(options: GuestStartsOptions) {
    this.#options = options;
  }

  /** @throws {AirlockError} as `VmMonitor.boot` does. */
  async start(plan: VmPlan, { signal }: Abortable): Promise<RunningVm> {
    const { monitor } = this.#options;
    const shape = await shapeOf(plan);
    const copy = await this.#copy(shape, plan, { signal });
    if (copy) return copy;
    const vm = await monitor.boot(plan, { signal });
    this.#prepare(shape, plan).catch((error: unknown) => {
      if (!this.#closing.signal.aborted) this.#options.onProblem(error);
    });
    return vm;
  }

  /**
   * Starts a copy of a snapshot, which is made first if it is missing. A copy needs less memory than a machine that has
   * booted.
   * @throws {AirlockError} as `VmMonitor.boot` does.
   */
  async startCopy(plan: VmPlan, { signal }: Abortable): Promise<RunningVm> {
    const shape = await shapeOf(plan);
    const copy = await this.#copy(shape, plan, { signal });
    if (copy) return copy;
    await abandonable(this.#prepare(shape, plan), signal);
    return await this.#options.monitor.restore({ dir: join(this.#options.directory, shape) }, plan, { signal });
  }

  /** Waits for snapshots that are being made. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#making.values());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new Error("the runtime is closed"));
    await this.settled();
  }

  /** `null`: there is no snapshot of this shape. */
  async #copy(shape: string, plan: VmPlan, { signal }: Abortable): Promise<RunningVm | null> {
    const dir = join(this.#options.directory, shape);
    if (!(await isThere(dir))) return null;
    try {
      const vm = await this.#options.monitor.restore({ dir }, plan, { signal });
      await touch(dir);
      return vm;
    } catch (error) {
      if (!(error instanceof AirlockError) || error.code !== "snapshot-unusable") throw error;
      await rm(dir, { recursive: true, force: true });
      return null;
    }
  }

  #prepare(shape: string, plan: VmPlan): Promise<void> {
    const known = this.#making.get(shape);
    if (known) return known;
    const { signal } = this.#closing;
    const work = signal.aborted ? Promise.reject(signal.reason) : this.#makeSnapshot(shape, plan);
    const made = work.finally(() => this.#making.delete(shape));
    this.#making.set(shape, made);
    return made;
  }

  async #makeSnapshot(shape: string, like: VmPlan): Promise<void> {
    const { monitor, directory, planAlike } = this.#options;
    const { signal } = this.#closing;
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await using plan = await planAlike(like);
    await using vm = await monitor.boot(plan, { signal });
    const { dir }: VmSnapshot = await vm.snapshot(plan.scratch, { signal }).catch((error: unknown) => {
      throw isNoSpace(error)
        ? cannotWrite("no snapshot can be made, so machines start slower", plan.scratch, error)
        : error;
    });
    await rename(dir, join(directory, shape)).catch((error: unknown) => {
      // Another executor was quicker.
      if (!["ENOTEMPTY", "EEXIST"].includes(errorCode(error) ?? "")) throw error;
    });
    await this.#removeOldest();
  }

  async #removeOldest(): Promise<void> {
    const { directory } = this.#options;
    const used = await Promise.all((await readdir(directory)).map((name) => usedAt(directory, name)));
    const surplus = used
      .filter((snapshot) => snapshot !== null)
      .sort((a, b) => b.usedAt - a.usedAt)
      .slice(maximumSnapshots);
    for (const { name } of surplus) await rm(join(directory, name), { recursive: true, force: true });
  }
}

/** `null`: another executor has removed it. */
async function usedAt(
  directory: string,
  name: string,
): Promise<{ readonly name: string; readonly usedAt: number } | null> {
  try {
    return { name, usedAt: (await stat(join(directory, name))).mtimeMs };
  } catch (error) {
    if (errorCode(error) === "ENOENT") return null;
    throw error;
  }
}

/** Names what must be equal for machines that start from one snapshot. The monitor itself compares more. */
async function shapeOf({ cpus, memoryBytes, disks, network, guest }: VmPlan): Promise<string> {
  const sizes = await Promise.all(disks.map(async (disk) => disk && [disk.readOnly, (await stat(disk.path)).size]));
  const parts = JSON.stringify([cpus, memoryBytes, sizes, network?.macAddress ?? null, guest.kernel, guest.initrd]);
  return createHash("sha256").update(parts).digest("hex").slice(0, 32);
}

async function touch(path: string): Promise<void> {
  const now = new Date();
  await utimes(path, now, now).catch((error: unknown) => {
    // Another executor may have removed it meanwhile.
    if (errorCode(error) !== "ENOENT") throw error;
  });
}

async function isThere(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}

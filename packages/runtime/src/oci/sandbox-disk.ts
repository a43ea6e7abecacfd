import { AirlockError, formatBytes } from "@airlock/job";
import type { SandboxLimits } from "../contract/index.ts";
import { errorCode } from "../host/error-code.ts";
import type { HostWorkspace } from "../host-disk/host-workspace.ts";
import { fileSystemBytes, unnamedFileBytes, usedBytes } from "../isolation/disk-use.ts";
import { DiskWatch } from "../isolation/disk-watch.ts";

export interface SandboxDiskOptions {
  readonly limits: SandboxLimits;
  readonly workspace: HostWorkspace;
  /** Directory of the steps' own layers. */
  readonly stepsDirectory: string;
  readonly processes: () => Promise<Iterable<number>>;
}

/** Enforces a sandbox's disk limit if no file system does. */
export class SandboxDisk {
  readonly #options: SandboxDiskOptions;
  readonly #watch: DiskWatch | undefined;
  #copiedBytes = 0;

  constructor(options: SandboxDiskOptions) {
    this.#options = options;
    const { limits, workspace } = options;
    if (workspace.layersDir !== null || limits.diskBytes === undefined) return;
    this.#watch = new DiskWatch({
      limitBytes: limits.diskBytes,
      used: () => this.#used(),
      free: () => this.#free(),
    });
  }

  /** Excludes the directory's current content from the limit, because it is the copy of an image. */
  async exempt(directory: string): Promise<void> {
    if (this.#watch) this.#copiedBytes += await usedBytes([directory]);
  }

  /**
   * Runs a step, and aborts it when it exceeds the limit.
   * @throws {AirlockError} code `disk-full`, reason `step-failed`, when the step wrote more than the limit.
   */
  async during<T>(signal: AbortSignal, step: (signal: AbortSignal) => Promise<T>): Promise<T> {
    if (!this.#watch) return await step(signal);
    return await this.#watch.during((exceeded) => step(AbortSignal.any([signal, exceeded])));
  }

  /** Returns the error to throw when preparing a step failed. If earlier steps filled the disk, the job is at fault. */
  explained(error: unknown): unknown {
    const { limits, workspace } = this.#options;
    const isFull =
      ["ENOSPC", "EDQUOT"].includes(errorCode(error) ?? "") ||
      (error instanceof Error && /No space left on device|Disk quota exceeded/.test(error.message));
    if (workspace.layersDir === null || !isFull) return error;
    const limit = limits.diskBytes === undefined ? "" : `: its limit is ${formatBytes(limits.diskBytes)}`;
    return new AirlockError(`the job's disk is full, so the next step cannot start${limit}`, {
      code: "disk-full",
      reason: "step-failed",
      hint: "Write less, or raise resources.disk.",
      cause: error,
    });
  }

  async #used(): Promise<number> {
    const { workspace, stepsDirectory, processes } = this.#options;
    const [walked, unnamed] = await Promise.all([
      usedBytes([workspace.dir, stepsDirectory]),
      processes().then(unnamedFileBytes),
    ]);
    return Math.max(0, walked + unnamed - this.#copiedBytes);
  }

  async #free(): Promise<number> {
    const { workspace, stepsDirectory } = this.#options;
    const free = await Promise.all([workspace.dir, stepsDirectory].map(fileSystemBytes));
    return free.reduce((sum, each) => sum + each.free, 0);
  }
}

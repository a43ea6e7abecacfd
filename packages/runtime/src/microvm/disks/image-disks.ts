import { createHash, randomUUID } from "node:crypto";
import { lstatSync } from "node:fs";
import { chmod, mkdir, readdir, rename, rm, stat, statfs, truncate, utimes } from "node:fs/promises";
import { join } from "node:path";
import { AirlockError, formatBytes, saysNoSpace } from "@airlock/job";
import type { Abortable } from "../../contract/index.ts";
import { imageUnusable } from "../../contract/index.ts";
import { errorCode } from "../../host/error-code.ts";
import { SharedTasks, type TaskOptions } from "../../images/pulls/shared-tasks.ts";
import type { ImageStore, PreparedImage, PrepareOptions } from "../../images/store/image-store.ts";
import { boundOnDisk, planEviction } from "../../images/store/plan-eviction.ts";
import { isAlive, processIdentity, type StoreHold, StoreLeases } from "../../images/store/store-leases.ts";
import { latin1 } from "../../images/unpack/layer-stack.ts";
import { cannotWrite } from "./cannot-write.ts";
import { DiskFullError } from "./ext4/disk-full-error.ts";
import { Ext4Disk } from "./ext4/ext4-disk.ts";
import { type FillOptions, fillDisk } from "./fill-disk.ts";
import { imageTree } from "./image-tree.ts";

export interface ImageDisksOptions {
  /** Absolute path. Created, private to this user, if it is missing. Several processes may share it. */
  readonly directory: string;
  /** The store that pulls, checks and unpacks images. It has no range of ids. */
  readonly images: ImageStore;
  /**
   * Apparent size of every disk. All are equal, because a running guest's empty disk is exchanged for an image's disk.
   * Default: 64 GiB.
   */
  readonly slotBytes?: number;
  /** Limit of the disk space of all disks together. `null`: no limit. */
  readonly maximumBytes: number | null;
}

/** An image as a guest gets it. */
export interface ImageDisk extends Pick<PreparedImage, "user" | "env"> {
  /** A file that anybody may read and nobody changes: an ext4 file system. */
  readonly path: string;
  readonly type: "ext4";
}

export interface PrepareDiskOptions extends Omit<PrepareOptions, "hold"> {
  /** Keeps the disk until the hold is disposed of, which must happen after the guest has ended. */
  readonly hold: StoreHold;
}

const defaultSlotBytes = 64 * 2 ** 30;
const suffix = ".ext4";
/** Increased whenever the same image results in another disk. */
const formatVersion = 1;
const progressBytes = 32 * 2 ** 20;
const guestRoot = { uid: 0, gid: 0 };

/**
 * Disks with the root file systems of images: one for all images with the same layers and volumes, read-only, made once
 * and shared by all guests.
 */
export class ImageDisks {
  readonly #options: ImageDisksOptions;
  readonly #slotBytes: number;
  readonly #disksDirectory: string;
  readonly #temporaryDirectory: string;
  readonly #leases: StoreLeases;
  readonly #building = new SharedTasks<void>();
  /** Without root, the store can't keep the owners of files. Then all files belong to the guest's root. */
  readonly #owner: FillOptions["owner"];

  private constructor(options: ImageDisksOptions) {
    this.#options = options;
    this.#slotBytes = options.slotBytes ?? defaultSlotBytes;
    this.#disksDirectory = join(options.directory, "disks");
    this.#temporaryDirectory = join(options.directory, "tmp");
    this.#leases = new StoreLeases(join(options.directory, "leases"));
    this.#owner = process.geteuid?.() === 0 ? null : guestRoot;
  }

  /** Opens the cache and removes what killed processes left in it. */
  static async open(options: ImageDisksOptions): Promise<ImageDisks> {
    const disks = new ImageDisks(options);
    for (const directory of [options.directory, disks.#disksDirectory, disks.#temporaryDirectory]) {
      await mkdir(directory, { recursive: true, mode: 0o700 });
    }
    for (const name of await readdir(disks.#temporaryDirectory)) {
      if (!isAlive(name)) await rm(join(disks.#temporaryDirectory, name), { force: true });
    }
    return disks;
  }

  async close(): Promise<void> {
    await this.#leases.close();
  }

  /** A hold on disks, for one guest. */
  hold(): StoreHold {
    return this.#leases.hold();
  }

  /**
   * Returns the disk of an image, and pulls the image and makes the disk if that was not done before. Pulling checks the
   * administrator's policy, the job's credentials, the platform and `/bin/sh`.
   * @throws {AirlockError} reason `image-invalid`, `image-unavailable`, `policy`, or `runtime` (disk full).
   */
  async prepare(image: string, options: PrepareDiskOptions): Promise<ImageDisk> {
    const { hold, ...task } = options;
    // Keeps the layers until the disk is made.
    using layers = this.#options.images.hold();
    const prepared = await this.#options.images.prepare(image, { ...task, hold: layers });
    const name = this.#nameOf(prepared);
    const path = join(this.#disksDirectory, name);
    await hold.add([name]);
    if (!(await exists(path)))
      await this.#building.run(name, task, (shared) => this.#build(image, prepared, path, shared));
    const now = new Date();
    await utimes(path, now, now);
    return { path, type: "ext4", user: prepared.user, env: prepared.env };
  }

  /**
   * Removes the least recently used disks until the rest is within the limit. Returns lines of text that tell what was
   * removed. Never removes a disk that a guest of this or another process uses.
   */
  async evict({ signal }: Abortable): Promise<readonly string[]> {
    const { maximumBytes } = this.#options;
    if (maximumBytes === null) return [];
    const lines: string[] = [];
    await this.#leases.collect(async (inUse) => {
      const images: { reference: string; usedAt: number; names: readonly string[] }[] = [];
      const sizes = new Map<string, number>();
      for (const name of await readdir(this.#disksDirectory)) {
        signal.throwIfAborted();
        const stats = await stat(join(this.#disksDirectory, name));
        images.push({ reference: name, usedAt: stats.mtimeMs, names: [name] });
        sizes.set(name, stats.blocks * 512);
      }
      const used = [...sizes.values()].reduce((sum, size) => sum + size, 0);
      const disk = await statfs(this.#disksDirectory);
      const space = { totalBytes: disk.blocks * disk.bsize, availableBytes: disk.bavail * disk.bsize };
      const bound = boundOnDisk(maximumBytes, used, space);
      const plan = planEviction({ images, sizes, inUse, leftOver: new Set(), maximumBytes: bound });
      for (const name of plan.names) await rm(join(this.#disksDirectory, name), { force: true });
      if (plan.bytes > 0) lines.push(`removed ${plan.names.length} image disks, ${formatBytes(plan.bytes)}`);
    });
    return lines;
  }

  #nameOf({ layers, volumeDirectories }: PreparedImage): string {
    const parts = [formatVersion, this.#slotBytes, this.#owner, layers, volumeDirectories];
    return `${createHash("sha256").update(JSON.stringify(parts)).digest("hex")}${suffix}`;
  }

  async #build(image: string, prepared: PreparedImage, path: string, { signal, progress }: TaskOptions): Promise<void> {
    // Another process, or a caller that this one did not wait for, may have been quicker.
    if (await exists(path)) return;
    const temporary = join(this.#temporaryDirectory, `${processIdentity()}-${randomUUID()}`);
    progress("making the image's disk");
    try {
      // Images have more bytes per file than workspaces, and their number of entries is limited.
      const bytesPerInode = this.#slotBytes < 512 * 2 ** 20 ? 4096 : 16_384;
      await using disk = await Ext4Disk.create(temporary, { bytes: this.#slotBytes, bytesPerInode, signal });
      const sources = prepared.layers.map((layer) => latin1(join(this.#options.images.layersDirectory, layer)));
      const top = sources[0];
      if (top === undefined) throw imageUnusable(image, "has no layers", "Use an image with a shell.");
      const stats = lstatSync(Buffer.from(top, "latin1"), { bigint: true });
      await fillDisk(disk, imageTree(sources, stats, prepared.volumeDirectories, this.#owner), {
        signal,
        owner: this.#owner,
        onBytes: reportEvery(progressBytes, (bytes) => progress(`making the image's disk, ${formatBytes(bytes)}`)),
      });
      await disk.finish({ sync: true });
      await truncate(temporary, this.#slotBytes);
      // The monitor of a guest may run as another user. It gets the file itself, never this directory.
      await chmod(temporary, 0o444);
      await rename(temporary, path);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof DiskFullError) throw tooLarge(image, this.#slotBytes, error);
      if (error instanceof AirlockError && !saysNoSpace(error.message)) throw error;
      throw cannotWrite(`cannot make the disk of image "${image}"`, path, error);
    } finally {
      await rm(temporary, { force: true });
    }
  }
}

function reportEvery(step: number, report: (bytes: number) => void): (bytes: number) => void {
  let total = 0;
  let reported = 0;
  return (bytes) => {
    total += bytes;
    if (total < reported + step) return;
    reported = total;
    report(total);
  };
}

function tooLarge(image: string, slotBytes: number, cause: DiskFullError): AirlockError {
  const problem = `does not fit into a disk of ${formatBytes(slotBytes)}`;
  return imageUnusable(image, problem, "Use a smaller image, or one with fewer files.", cause);
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (errorCode(error) === "ENOENT") return false;
    throw error;
  }
}

import { lstatSync } from "node:fs";
import { rm } from "node:fs/promises";
import { AirlockError, saysNoSpace } from "@airlock/job";
import type { Abortable } from "../../contract/index.ts";
import { latin1 } from "../../images/unpack/layer-stack.ts";
import { cannotWrite } from "./cannot-write.ts";
import { DiskFullError } from "./ext4/disk-full-error.ts";
import { Ext4Disk } from "./ext4/ext4-disk.ts";
import { blockBytes } from "./ext4/layout.ts";
import { type DiskDirectory, fillDisk } from "./fill-disk.ts";

/** Size of a workspace disk if the job has no disk limit: the default of `EXECUTOR_JOB_DISK`. */
export const defaultWorkspaceBytes = 20 * 2 ** 30;

export interface EmptyDiskOptions extends Abortable {
  /** Absolute path of the disk's file, which does not exist. */
  readonly path: string;
  /** `SandboxLimits.diskBytes`. */
  readonly diskBytes: number | undefined;
}

export interface WorkspaceDiskOptions extends EmptyDiskOptions {
  /** `WorkspacePlan.checkout`: a complete tree. */
  readonly checkout: string | null;
}

/** A disk without a workspace. Disposing closes its file. */
export interface EmptyWorkspaceDisk extends AsyncDisposable {
  readonly path: string;
  readonly bytes: number;
  /**
   * Writes the workspace with the checkout, once. A guest may have the disk already, if it has not mounted it.
   * @throws {AirlockError} as {@link makeWorkspaceDisk}.
   */
  fill(checkout: string | null, options: Abortable): Promise<void>;
}

const guestRoot = { uid: 0, gid: 0 };

/**
 * Makes the disk of a job: an ext4 file system whose directory `data` is the workspace with the checkout. Its files
 * belong to the guest's root; a step may run as any user, so the workspace itself has mode 0777. Returns its size.
 *
 * The tree is written directly into the disk's file ({@link Ext4Disk}), without a mount. Measured for 4,000 files of
 * 4 KB, 40,000 such files, and 100 files of 1 MB: see docs/decisions/0046-disks-written-by-the-executor.md.
 * - `mke2fs -d` takes about as long, but needs root for the owners and 72 s for 40,000 files in one directory, and
 *   corrupts its memory at depths that a repository can have.
 * - Copying through the agent costs a round trip per file.
 * - Copying a base disk per checkout would be quicker from about 10,000 files on, but a plan does not say which
 *   checkouts are the same.
 *
 * `WorkspacePlan.checkoutLayers` can't be used: the kernel marks replaced directories of overlays with attributes that
 * this process can't read. So the runtime does not ask for layers, and the caller mounts them.
 * @throws {AirlockError} reason `checkout-invalid` when the checkout does not fit; `runtime`. Nothing is left then.
 */
export async function makeWorkspaceDisk(options: WorkspaceDiskOptions): Promise<{ readonly bytes: number }> {
  await using disk = await makeEmptyDisk(options);
  await disk.fill(options.checkout, options);
  return { bytes: disk.bytes };
}

/**
 * Makes a workspace disk that gets its content later.
 * @throws {AirlockError} reason `runtime`. Nothing is left then.
 */
export async function makeEmptyDisk({
  path,
  diskBytes = defaultWorkspaceBytes,
  signal,
}: EmptyDiskOptions): Promise<EmptyWorkspaceDisk> {
  signal.throwIfAborted();
  const bytes = Math.floor(diskBytes / blockBytes) * blockBytes;
  // As many files as on the other runtimes.
  const bytesPerInode = bytes < 512 * 2 ** 20 ? 4096 : 8192;
  const disk = await removingOnFailure(path, signal, () => Ext4Disk.create(path, { bytes, bytesPerInode, signal }));
  return {
    path,
    bytes,
    fill: (checkout, { signal }) =>
      removingOnFailure(path, signal, async () => {
        await fillDisk(disk, rootOf(checkout), { owner: guestRoot, signal });
        await disk.finish({ sync: false });
      }),
    [Symbol.asyncDispose]: () => disk[Symbol.asyncDispose](),
  };
}

async function removingOnFailure<T>(path: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    await rm(path, { force: true });
    signal.throwIfAborted();
    if (error instanceof DiskFullError) throw checkoutTooLarge(error);
    if (error instanceof AirlockError && !saysNoSpace(error.message)) throw error;
    throw cannotWrite("cannot make the workspace's disk", path, error);
  }
}

function rootOf(checkout: string | null): DiskDirectory {
  const modifiedNs =
    checkout === null ? BigInt(Date.now()) * 1_000_000n : lstatSync(checkout, { bigint: true }).mtimeNs;
  const sources = checkout === null ? [] : [latin1(checkout)];
  const workspace = { attributes: { mode: 0o777, ...guestRoot, modifiedNs }, sources, added: new Map() };
  const attributes = { mode: 0o755, ...guestRoot, modifiedNs };
  return { attributes, sources: [], added: new Map([["data", workspace]]) };
}

function checkoutTooLarge(cause: DiskFullError): AirlockError {
  return new AirlockError("the checkout does not fit into the workspace", {
    code: "checkout-invalid",
    reason: "checkout-invalid",
    hint: "The workspace is full: ask for more with resources.disk.",
    cause,
  });
}

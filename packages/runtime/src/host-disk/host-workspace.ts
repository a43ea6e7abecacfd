import { chmod, chown, lstat, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { AirlockError, errorMessage, formatBytes } from "@airlock/job";
import { outputOf } from "@airlock/process";
import type {
  FileOwner,
  ReadOnlyFile,
  TreeEntry,
  WalkOptions,
  WorkspaceFile,
  WorkspacePlan,
} from "../contract/index.ts";
import { errorCode } from "../host/error-code.ts";
import { copyTree } from "./copy-tree.ts";
import { DiskBound } from "./disk-bound.ts";
import type { WorkspaceOwner } from "./host-workspaces.ts";
import { isMountablePath, mountDiskImage, mountOverlay, unmountBelow } from "./mounts.ts";
import type { MountCapabilities } from "./probe-mounts.ts";
import { putFile } from "./put-file.ts";
import { placeReadOnlyFiles } from "./read-only-files.ts";
import type { Trash } from "./trash.ts";
import { readFileBeneath, walkBeneath, withParentBeneath } from "./walk-tree.ts";

export interface HostWorkspacePlace extends MountCapabilities, WorkspaceOwner {
  /** The job's own directory. It exists and is empty except for a marker. */
  readonly dir: string;
  readonly keep: boolean;
  readonly trash: Trash;
}

export interface HostWorkspaceContent extends WorkspacePlan {
  /** Limit of the workspace and layers together, if the host can enforce it. `undefined`: no limit. */
  readonly diskBytes: number | undefined;
}

/** Where the workspace's data is stored: in the job's directory, or in a file system of limited size below it. */
interface Storage {
  readonly dir: string;
  readonly layersDir: string | null;
  readonly disk: DiskBound | null;
}

const teardownMs = 60_000;

/** A workspace on this host's disk: the directory that steps share, and files that they can't change. */
export class HostWorkspace implements AsyncDisposable {
  /** Mounted at `/data`, writable. */
  readonly dir: string;
  /** Mounted at `/airlock`, read-only. */
  readonly readOnlyDir: string;
  /**
   * A directory on the workspace's own size-limited file system, beside the workspace. It is for what steps write
   * elsewhere, so that one limit covers both. `null`: the workspace has no file system of its own.
   */
  readonly layersDir: string | null;
  /** A directory beside the workspace, of the executor alone. It is bounded where the workspace is. */
  readonly besideDir: string;
  /** Detects when the workspace's own file system is full. `null`: it has none. */
  readonly disk: DiskBound | null;
  /** How the workspace was created, one sentence each. */
  readonly notes: readonly string[];
  readonly #place: HostWorkspacePlace;
  #disposing: Promise<void> | undefined;

  private constructor(place: HostWorkspacePlace, dir: string, storage: Storage, notes: readonly string[]) {
    this.#place = place;
    this.dir = dir;
    this.readOnlyDir = join(place.dir, "read-only");
    this.layersDir = storage.layersDir;
    this.besideDir = storage.layersDir ?? place.dir;
    this.disk = storage.disk;
    this.notes = notes;
  }

  /**
   * Creates the workspace.
   * @throws {AirlockError} reason `checkout-invalid` or `runtime`; nothing is left behind then.
   */
  static async create(
    place: HostWorkspacePlace,
    content: HostWorkspaceContent,
    signal: AbortSignal,
  ): Promise<HostWorkspace> {
    const notes: string[] = [];
    try {
      const storage = await openStorage(place, content.diskBytes, notes, signal);
      const dir = await writableTree(place, content, storage, notes, signal);
      // Steps run as their image's user, which may be any.
      await chmod(dir, 0o777);
      if (place.owner) await chown(dir, place.owner.uid, place.owner.gid);
      const workspace = new HostWorkspace(place, dir, storage, notes);
      await mkdir(workspace.readOnlyDir);
      await chmod(workspace.readOnlyDir, 0o755);
      placeReadOnlyFiles(workspace.readOnlyDir, content.readOnlyFiles);
      await workspace.putFiles(content.files, signal);
      return workspace;
    } catch (error) {
      await discard(place);
      throw error;
    }
  }

  /** Writes files below `/airlock` and removes them when the result is disposed of. */
  placeReadOnlyFiles(files: readonly ReadOnlyFile[]): Disposable {
    return placeReadOnlyFiles(this.readOnlyDir, files);
  }

  async putFiles(files: readonly WorkspaceFile[], signal: AbortSignal): Promise<void> {
    for (const file of files) {
      signal.throwIfAborted();
      await putFile(this.dir, file, this.#place.owner);
    }
  }

  readFile(path: string, maximumBytes: number): Promise<Buffer | null> {
    return readFileBeneath(this.dir, path, maximumBytes);
  }

  async removeFile(path: string): Promise<void> {
    await withParentBeneath(this.dir, path, (place) =>
      rm(place, { force: true }).catch((error: unknown) => {
        // Leave directories alone.
        if (!["EISDIR", "ERR_FS_EISDIR"].includes(errorCode(error) ?? "")) throw error;
      }),
    );
  }

  walk<State>(path: string, options: WalkOptions<State>): AsyncIterable<TreeEntry<State>> {
    return walkBeneath(this.dir, path, options);
  }

  /** Unmounts and removes everything, unless the workspace is kept. No process of the job may run any more. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#disposing ??= this.#place.keep ? Promise.resolve() : discard(this.#place);
    return this.#disposing;
  }
}

async function discard({ dir, trash }: HostWorkspacePlace): Promise<void> {
  // Use a separate time limit, because the job's signal may be aborted already.
  await unmountBelow(dir, AbortSignal.timeout(teardownMs));
  await trash.add(dir);
}

async function openStorage(
  { dir: jobDir, mountsVisible, keep, owner }: HostWorkspacePlace,
  diskBytes: number | undefined,
  notes: string[],
  signal: AbortSignal,
): Promise<Storage> {
  const unbounded = { dir: jobDir, layersDir: null, disk: null };
  if (diskBytes === undefined) return unbounded;
  const limit = `the limit of ${formatBytes(diskBytes)}`;
  if (!mountsVisible || keep) {
    const why = keep ? "workspaces are kept as plain directories" : "it does not see mounts of this executor";
    notes.push(`${limit} is left to the runtime: ${why}`);
    return unbounded;
  }
  const dir = join(jobDir, "disk");
  try {
    await mountDiskImage(join(jobDir, "disk.img"), diskBytes, dir, signal);
  } catch (error) {
    signal.throwIfAborted();
    notes.push(`${limit} is left to the runtime: ${errorMessage(error)}`);
    return unbounded;
  }
  const layersDir = join(dir, "layers");
  await mkdir(layersDir, { mode: owner ? 0o711 : 0o700 });
  notes.push(`a file system of ${formatBytes(diskBytes)}`);
  return { dir, layersDir, disk: new DiskBound(dir, diskBytes) };
}

/**
 * Creates a writable tree with the content of the checkout: an overlay in milliseconds if that works, otherwise a copy.
 */
async function writableTree(
  place: HostWorkspacePlace,
  content: WorkspacePlan,
  storage: Storage,
  notes: string[],
  signal: AbortSignal,
): Promise<string> {
  const { checkout, checkoutLayers } = content;
  if (checkout === null) {
    const dir = join(storage.dir, "data");
    await mkdir(dir);
    return dir;
  }
  const { dir, isOwned } = await treeAbove(place, { checkout, checkoutLayers }, storage, notes, signal);
  if (place.owner !== null && !isOwned && !(await belongsTo(checkoutLayers?.at(-1) ?? checkout, place.owner))) {
    const { uid, gid } = place.owner;
    await outputOf(["chown", "-hR", `${uid}:${gid}`, "--", dir], { signal });
  }
  return dir;
}

interface CheckoutTree {
  readonly checkout: string;
  readonly checkoutLayers: readonly string[] | undefined;
}

interface WritableTree {
  readonly dir: string;
  /** Whether the checkout's files have the workspace's owner. */
  readonly isOwned: boolean;
}

async function treeAbove(
  place: HostWorkspacePlace,
  { checkout, checkoutLayers }: CheckoutTree,
  storage: Storage,
  notes: string[],
  signal: AbortSignal,
): Promise<WritableTree> {
  const { dir: jobDir, overlays, keep } = place;
  const layers = checkoutLayers ?? [checkout];
  // A kept workspace must be readable without a mount.
  if (overlays && !keep && [...layers, jobDir].every(isMountablePath)) {
    const target = join(jobDir, "data");
    try {
      using lower = await ownedLayers(place, layers, notes);
      await mountOverlay(lower.paths.join(":"), storage.dir, target, signal);
      return { dir: target, isOwned: lower.areOwned };
    } catch (error) {
      signal.throwIfAborted();
      if (checkoutLayers) throw error;
      await rm(target, { recursive: true, force: true });
      notes.push(`the checkout is copied: ${errorMessage(error)}`);
    }
  }
  if (checkoutLayers) {
    throw new AirlockError("a checkout of several layers can't be copied into the workspace", {
      code: "copy-failed",
      reason: "runtime",
    });
  }
  return { dir: await copyAbove(checkout, storage, signal), isOwned: false };
}

/** Mounts layers that belong to this process so that they belong to the workspace's owner. An overlay keeps the mounts. */
async function ownedLayers(
  { dir: jobDir, mountOwned }: HostWorkspacePlace,
  layers: readonly string[],
  notes: string[],
): Promise<Disposable & { readonly paths: readonly string[]; readonly areOwned: boolean }> {
  using mounted = new DisposableStack();
  const own = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
  const areOwn = (await Promise.all(layers.map((layer) => belongsTo(layer, own)))).every(Boolean);
  if (mountOwned && areOwn) {
    try {
      const paths: string[] = [];
      for (const [index, layer] of layers.entries()) {
        const path = join(jobDir, `checkout-${index}`);
        await mkdir(path, { mode: 0o700 });
        mounted.use(mountOwned(layer, path));
        paths.push(path);
      }
      const kept = mounted.move();
      return { paths, areOwned: true, [Symbol.dispose]: () => kept.dispose() };
    } catch (error) {
      notes.push(`the owner of each file of the checkout is changed: ${errorMessage(error)}`);
    }
  }
  return { paths: layers, areOwned: false, [Symbol.dispose]: () => {} };
}

async function copyAbove(checkout: string, storage: Storage, signal: AbortSignal): Promise<string> {
  const copy = join(storage.dir, "data");
  try {
    await copyTree(checkout, copy, signal);
    return copy;
  } catch (cause) {
    if (storage.disk === null || !/No space left/.test(errorMessage(cause))) throw cause;
    throw new AirlockError("the checkout does not fit into the workspace", {
      code: "checkout-invalid",
      reason: "checkout-invalid",
      hint: "The workspace is full: ask for more with resources.disk.",
      cause,
    });
  }
}

async function belongsTo(path: string, owner: FileOwner): Promise<boolean> {
  const { uid, gid } = await lstat(path);
  return uid === owner.uid && gid === owner.gid;
}

import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { chmod, copyFile, lstat, mkdir, open, readdir, rename, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { startTimer } from "@airlock/async";
import { formatBytes, formatDuration } from "@airlock/job";
import type { MirrorLimits, MirrorSource } from "../cache/mirror.ts";
import { checkoutInvalid, checkoutLimit } from "../checkout/checkout-errors.ts";
import type { Git } from "../checkout/git.ts";
import { LfsClient } from "./lfs-client.ts";
import { type LfsObject, maximumPointerBytes, parseLfsPointer } from "./lfs-pointer.ts";
import { type LfsFile, readLfsFiles } from "./read-lfs-files.ts";
import { type PlacedFile, refreshIndex } from "./refresh-index.ts";

export interface LfsOptions {
  readonly fetch: boolean;
  /** `HOST[:PORT]` of servers that objects may come from, in addition to the instance. */
  readonly allowedHosts: readonly string[];
}

export interface FillContext {
  readonly git: Git;
  readonly source: MirrorSource;
  readonly allowedHosts: readonly string[];
  readonly limits: MirrorLimits;
  /** Directory of this repository's objects, by id. */
  readonly objectsDir: string;
  readonly note: (text: string) => void;
  readonly signal: AbortSignal;
}

const batchSize = 100;
const concurrentDownloads = 4;
/** Files must be older than the index. Otherwise git checks whether they have changed. */
const ageMs = 60_000;

/**
 * Replaces pointer files by their content, in a checkout that no step has touched. Runs no filter of the repository,
 * and ignores the server that its `.lfsconfig` names. Files that already have their content stay.
 * @throws {AirlockError} code `checkout-limit`, or as `LfsClient` does.
 */
export async function fillLfsFiles(worktree: string, sha256: boolean, context: FillContext): Promise<void> {
  const { git, limits, note, signal } = context;
  const gitDir = join(worktree, ".git");
  const at = [`--git-dir=${gitDir}`, `--work-tree=${worktree}`];
  const files = await readLfsFiles(git, at, { maximumFiles: limits.maximumFiles, signal });
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  if (bytes > limits.maximumBytes) {
    const limit = formatBytes(limits.maximumBytes);
    throw checkoutLimit(`the commit's Git LFS objects are larger than ${limit} together`);
  }
  const pointers: LfsFile[] = [];
  for (const file of files) if (await isPointer(worktree, file)) pointers.push(file);
  const fetched = await fetchMissing(pointers, context);
  if (files.length > 0) note(`Git LFS files: ${files.length}, ${formatBytes(bytes)}; objects fetched: ${fetched}`);
  const placed: PlacedFile[] = [];
  for (const file of pointers) {
    signal.throwIfAborted();
    placed.push(await place(join(context.objectsDir, file.oid), worktree, file));
  }
  if (placed.length > 0 && !(await refreshIndex(join(gitDir, "index"), placed, sha256 ? 32 : 20))) {
    note("git shows them as changed, because its index has an unknown format");
  }
}

async function fetchMissing(files: readonly LfsObject[], context: FillContext): Promise<number> {
  const { objectsDir, limits, signal: outer } = context;
  await mkdir(objectsDir, { recursive: true, mode: 0o700 });
  // Remove what a crash left half-written. No other job writes here now.
  for (const name of await readdir(objectsDir)) {
    if (name.includes(".tmp-")) await rm(join(objectsDir, name), { force: true });
  }
  const missing = new Map<string, LfsObject>();
  for (const { oid, size } of files) {
    const there = await stat(join(objectsDir, oid)).catch(() => null);
    if (there?.size !== size) missing.set(oid, { oid, size });
  }
  if (missing.size === 0) return 0;
  const stop = new AbortController();
  const late = `fetching objects of Git LFS took longer than ${formatDuration(limits.maximumMs)}`;
  using _timer = startTimer(limits.maximumMs, () => stop.abort(checkoutLimit(late)));
  const signal = AbortSignal.any([outer, stop.signal]);
  const objects = [...missing.values()];
  await using client = new LfsClient(context.source, context.allowedHosts, context.git.proxies);
  for (let start = 0; start < objects.length; start += batchSize) {
    const batch = objects.slice(start, start + batchSize);
    const downloads = await client.locate(batch, signal);
    const waiting = [...batch];
    const fetchNext = async (): Promise<void> => {
      for (let object = waiting.shift(); object; object = waiting.shift()) {
        const download = downloads.get(object.oid);
        if (!download) throw checkoutInvalid(`the server does not have the Git LFS object ${object.oid}`);
        await client.fetch(object, download, join(objectsDir, object.oid), signal);
      }
    };
    // The first failure aborts the other downloads. All of them have ended before this continues.
    const fetches = Array.from({ length: concurrentDownloads }, () =>
      fetchNext().catch((error: unknown) => stop.abort(error)),
    );
    await Promise.all(fetches);
    signal.throwIfAborted();
  }
  return objects.length;
}

/** Whether the file still is the pointer; `false`: it already has its content. */
async function isPointer(worktree: string, { path, oid }: LfsFile): Promise<boolean> {
  const file = await open(inside(worktree, path), constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const { size } = await file.stat();
    if (size > maximumPointerBytes) return false;
    return parseLfsPointer(await file.readFile())?.oid === oid;
  } finally {
    await file.close();
  }
}

async function place(object: string, worktree: string, { path, size, executable }: LfsFile): Promise<PlacedFile> {
  // Git created these directories. A link among them would be a bug in git and would lead out of the checkout.
  let slash = path.indexOf("/");
  for (; slash >= 0; slash = path.indexOf("/", slash + 1)) {
    const parent = await lstat(inside(worktree, path.slice(0, slash)));
    if (!parent.isDirectory()) throw checkoutInvalid("a Git LFS file is behind a symbolic link");
  }
  // Write to git's directory first, under a name that no file of the repository can have.
  const making = join(worktree, ".git", `lfs-${randomUUID()}`);
  try {
    await copyFile(object, making, constants.COPYFILE_FICLONE);
    await chmod(making, executable ? 0o755 : 0o644);
    const modifiedAt = Math.floor((Date.now() - ageMs) / 1000);
    await utimes(making, modifiedAt, modifiedAt);
    await rename(making, inside(worktree, path));
    return { path, size, modifiedAt };
  } catch (error) {
    await rm(making, { force: true });
    throw error;
  }
}

/** A path in the worktree, as bytes, because names in a tree need not be UTF-8. */
function inside(worktree: string, path: string): Buffer {
  return Buffer.concat([Buffer.from(`${worktree}/`), Buffer.from(path, "latin1")]);
}

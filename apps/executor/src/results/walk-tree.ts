import { constants, type Stats } from "node:fs";
import { type FileHandle, lstat, open, opendir, readlink } from "node:fs/promises";
import { AirlockError } from "@airlock/job";

/** Something in a tree. Its methods work until the walk goes on. */
export interface TreeEntry<State> {
  /** From the tree's root, as the bytes that stand in the directories. */
  readonly path: Buffer;
  readonly stats: Stats;
  readonly state: State;
  /** @throws {AirlockError} `not-a-file` when it is anything but the regular file that was seen. */
  openFile(): Promise<FileHandle>;
  readLink(): Promise<Buffer>;
}

export interface WalkOptions<State> {
  readonly start: State;
  /** The state at a name in a directory; `null`: neither it nor anything below is of interest. */
  readonly advance: (state: State, name: Buffer, isDirectory: boolean) => State | null;
  readonly maximumEntries: number;
  readonly signal: AbortSignal;
}

/** Deeper trees are nobody's work; each level holds a file descriptor. */
const maximumDepth = 100;
const directoryFlags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
const fileFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY;

/**
 * Everything but directories below a directory that a job has written, in byte order of the names, never leaving it. No
 * path is ever resolved: each directory is opened from its parent's descriptor (`/proc/self/fd/N/NAME` is what openat is
 * elsewhere), its last and only component with `O_NOFOLLOW`, so a symlink anywhere ends the way instead of leading out.
 *
 * Nothing of the job runs at this time: the runtime guarantees it after each step, and the sandbox has been given back.
 * The walk does not rely on it: what is swapped between a look and an opening is refused, not followed.
 *
 * Hard links are files like others. One that leads to a file of the host would have to be made inside the sandbox, from
 * a file that is visible there and lies on the same file system: the workspace's own and nothing else.
 * @throws {AirlockError} `too-many-files`, `too-deep`.
 */
export async function* walkTree<State>(
  root: FileHandle,
  options: WalkOptions<State>,
): AsyncGenerator<TreeEntry<State>> {
  const budget = { entries: options.maximumEntries };
  yield* walkDirectory(root, Buffer.alloc(0), options.start, 0, budget, options);
}

/** Opens a directory in a tree that a job has written, component by component; `null`: it is not there. */
export async function openBeneath(root: string, path: string): Promise<FileHandle | null> {
  let directory = await open(root, directoryFlags);
  for (const name of path.split("/").filter((part) => part !== "" && part !== ".")) {
    const parent = directory;
    try {
      if (name === "..") return null;
      directory = await open(childOf(parent, Buffer.from(name)), directoryFlags);
    } catch (error) {
      if (isAbsent(error)) return null;
      throw error;
    } finally {
      await parent.close();
    }
  }
  return directory;
}

async function* walkDirectory<State>(
  directory: FileHandle,
  prefix: Buffer,
  state: State,
  depth: number,
  budget: { entries: number },
  options: WalkOptions<State>,
): AsyncGenerator<TreeEntry<State>> {
  if (depth > maximumDepth) {
    throw new AirlockError(`directories are nested deeper than ${maximumDepth}`, { code: "too-deep" });
  }
  for (const name of await namesIn(directory, budget, options)) {
    options.signal.throwIfAborted();
    const place = childOf(directory, name);
    const stats = await lstat(place);
    const next = options.advance(state, name, stats.isDirectory());
    if (next === null) continue;
    const path = prefix.length === 0 ? name : Buffer.concat([prefix, slash, name]);
    if (!stats.isDirectory()) {
      yield {
        path,
        stats,
        state: next,
        openFile: () => openFile(place, stats),
        readLink: () => readlink(place, { encoding: "buffer" }),
      };
      continue;
    }
    const child = await open(place, directoryFlags);
    try {
      yield* walkDirectory(child, path, next, depth + 1, budget, options);
    } finally {
      await child.close();
    }
  }
}

async function namesIn<State>(
  directory: FileHandle,
  budget: { entries: number },
  { maximumEntries, signal }: WalkOptions<State>,
): Promise<Buffer[]> {
  const names: Buffer[] = [];
  // Read as it comes: a directory of ten million files must not be held before it is counted.
  const listing = await opendir(Buffer.from(`/proc/self/fd/${directory.fd}`) as unknown as string, {
    encoding: "buffer" as BufferEncoding,
    bufferSize: 256,
  });
  for await (const entry of listing) {
    signal.throwIfAborted();
    budget.entries -= 1;
    if (budget.entries < 0) {
      throw new AirlockError(`there are more than ${maximumEntries} files and directories to look at`, {
        code: "too-many-files",
      });
    }
    names.push(entry.name as unknown as Buffer);
  }
  return names.sort(Buffer.compare);
}

async function openFile(place: Buffer, seen: Stats): Promise<FileHandle> {
  const file = await open(place, fileFlags);
  const stats = await file.stat();
  if (stats.isFile() && stats.ino === seen.ino && stats.dev === seen.dev) return file;
  await file.close();
  throw new AirlockError("it is not the file that it was", { code: "not-a-file" });
}

const slash = Buffer.from("/");

function childOf(directory: FileHandle, name: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`/proc/self/fd/${directory.fd}/`), name]);
}

function isAbsent(error: unknown): boolean {
  return ["ENOENT", "ENOTDIR", "ELOOP"].includes((error as NodeJS.ErrnoException).code ?? "");
}

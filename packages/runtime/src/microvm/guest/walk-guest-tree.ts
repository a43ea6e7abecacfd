import { AirlockError } from "@airlock/job";
import { runtimeFailed } from "../../contract/errors.ts";
import type { TreeEntry, WalkOptions } from "../../contract/workspace.ts";
import type { GuestAgent } from "./guest-agent.ts";
import { GuestCallError } from "./guest-call-error.ts";
import type { GuestEntry, GuestListing, ListingLimits } from "./guest-listing.ts";
import { maxPathBytes } from "./payload-writer.ts";

/** Size of the parts in which contents are read. */
const partBytes = 1_048_576;
/** Bounds what the listings of an entry's directories take, from the workspace's root to the entry. */
const maxListingBytes = 256 * 2 ** 20;
const slash = Buffer.from("/");

/**
 * Walks the workspace as `Sandbox.walk` does: in byte order of the names, a directory before its content, without
 * following links. The guest could list directories without end, so the depth and the number of entries are counted
 * here.
 * @throws {AirlockError} code `too-many-files`; `unreadable` below a path that is too long for the agent; `not-a-file` and
 * `unreadable` from the contents.
 */
export async function* walkGuestTree<State>(
  agent: GuestAgent,
  path: Buffer,
  options: WalkOptions<State>,
): AsyncGenerator<TreeEntry<State>> {
  const budget = { entries: options.maximumEntries, bytes: maxListingBytes };
  yield* walkDirectory(agent, path, Buffer.alloc(0), options.start, 0, budget, options);
}

async function* walkDirectory<State>(
  agent: GuestAgent,
  directory: Buffer,
  prefix: Buffer,
  state: State,
  depth: number,
  budget: { entries: number; bytes: number },
  options: WalkOptions<State>,
): AsyncGenerator<TreeEntry<State>> {
  const { signal, maximumEntries, maximumDepth, advance } = options;
  const listing = await listWithin(
    agent,
    directory,
    { ...budget, whole: { entries: maximumEntries, bytes: maxListingBytes } },
    signal,
  );
  if (listing === null) return;
  budget.entries -= listing.length;
  budget.bytes -= listing.bytes;
  for (const entry of listing) {
    signal.throwIfAborted();
    const next = advance(state, entry.name, entry.stats.kind === "directory");
    if (next === null) continue;
    const place = join(directory, entry.name);
    const path = join(prefix, entry.name);
    yield {
      path,
      stats: entry.stats,
      state: next,
      contents: () => contentsOf(agent, place, entry, signal),
      readLink: () => readLink(agent, place, signal),
    };
    if (entry.stats.kind !== "directory" || depth >= maximumDepth) continue;
    yield* walkDirectory(agent, place, path, next, depth + 1, budget, options);
  }
  budget.bytes += listing.bytes;
}

async function listWithin(
  agent: GuestAgent,
  directory: Buffer,
  limits: ListingLimits,
  signal: AbortSignal,
): Promise<GuestListing | null> {
  checkLength(directory);
  try {
    return await agent.list(directory, limits, signal);
  } catch (error) {
    throw explained(error);
  }
}

async function* contentsOf(
  agent: GuestAgent,
  path: Buffer,
  { stats, inode }: GuestEntry,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  checkLength(path);
  for (let offset = 0; offset < stats.size; ) {
    const part = { offset, length: Math.min(partBytes, stats.size - offset) };
    const bytes = await readPart(agent, path, inode, part, signal);
    if (bytes.length === 0) return;
    offset += bytes.length;
    yield bytes;
  }
}

async function readPart(
  agent: GuestAgent,
  path: Buffer,
  inode: bigint,
  part: { readonly offset: number; readonly length: number },
  signal: AbortSignal,
): Promise<Buffer> {
  try {
    const bytes = await agent.readFile(path, { signal, maximumBytes: Number.MAX_SAFE_INTEGER, inode, part });
    if (bytes !== null) return bytes;
  } catch (error) {
    if (!(error instanceof GuestCallError)) throw error;
    if (error.code === "denied")
      throw new AirlockError("the file cannot be read", { code: "unreadable", cause: error });
    if (error.code !== "not-a-file") throw explained(error);
  }
  throw new AirlockError("the file was replaced", { code: "not-a-file" });
}

async function readLink(agent: GuestAgent, path: Buffer, signal: AbortSignal): Promise<Buffer> {
  checkLength(path);
  try {
    return await agent.readLink(path, signal);
  } catch (error) {
    throw explained(error);
  }
}

/** A step can nest directories beyond the longest path. */
function checkLength(path: Buffer): void {
  if (path.length <= maxPathBytes) return;
  throw new AirlockError(`a path is longer than ${maxPathBytes} bytes`, { code: "unreadable" });
}

/** An answer of the guest that says nothing about the tree. */
function explained(error: unknown): unknown {
  return error instanceof GuestCallError ? runtimeFailed(error.message, error) : error;
}

function join(directory: Buffer, name: Buffer): Buffer {
  return directory.length === 0 ? name : Buffer.concat([directory, slash, name]);
}

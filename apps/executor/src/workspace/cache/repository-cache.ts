import { randomUUID } from "node:crypto";
import { mkdir, readdir, rename, utimes, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { runProgram } from "@airlock/process";
import type { FileOwner } from "@airlock/runtime";
import { handOver, isMountablePath, removeHostileTree, unmountBelow } from "@airlock/runtime/host-disk";
import type { LogEntry } from "../../logs/job-log.ts";
import { type CheckoutRequest, digest } from "../checkout/checkout-request.ts";
import type { Git } from "../checkout/git.ts";
import type { Tag } from "../checkout/reachable-tags.ts";
import { writeCheckout } from "../checkout/write-checkout.ts";
import type { HeldCheckout, NearCheckout } from "./held-checkout.ts";
import { bootId, type Description, descriptionFile, loadCheckouts } from "./load-checkouts.ts";
import { Mirror, type MirrorLimits } from "./mirror.ts";
import { type HeldSubmodule, placeSubmodules, submodulesKey } from "./place-submodules.ts";
import { hasRoomAbove, layersOf, pinned, recordUse, rootOf, type StoredCheckout, stackOf } from "./stored-checkout.ts";
import { writeLayer } from "./write-layer.ts";

interface Repository {
  readonly dir: string;
  readonly shallow: Mirror;
  readonly deep: Mirror;
  readonly full: Mirror;
  readonly checkouts: StoredCheckout[];
}

export interface RepositoryCacheOptions {
  readonly dir: string;
  readonly git: Git;
  readonly limits: MirrorLimits;
  readonly maximumBytes: number;
  /** Owner of the checkouts' files; `null`: the user of this process. */
  readonly owner: FileOwner | null;
  /** Whether jobs can start from the layers of an overlay, and overlay mounts work in `dir`. */
  readonly layers: boolean;
  /** Search path for programs on the host. */
  readonly path: string;
}

/** Completes a checkout that git wrote. Called with the checkout's worktree. */
type FillCheckout = (worktree: string) => Promise<void>;

/** The contents of a checkout. */
export interface CheckoutContent {
  readonly request: CheckoutRequest;
  /** For `reachable` tags: the tags that the mirror found. */
  readonly tags: readonly Tag[];
  /** Placed in the checkout. */
  readonly submodules: readonly HeldSubmodule[];
  readonly fill: FillCheckout | null;
  /** Receives what git prints while it writes a layer. */
  readonly entry: Pick<LogEntry, "note" | "write"> | null;
}

/** A commit that differs from an existing checkout by more files than this gets a checkout of its own. */
const maximumChangedFiles = 2000;
/** Limit for the checkouts that are compared with a commit, because each comparison runs git. */
const maximumComparisons = 3;
/** Limit for complete trees. */
const checkoutsPerVariant = 3;
/** Limit for layers. They are small, except for git's index. */
const layersPerVariant = 16;
const cleanUpMs = 60_000;

/** The repositories on this machine: bare mirrors, and checkouts that workspaces start from. */
export class RepositoryCache {
  readonly #options: RepositoryCacheOptions;
  readonly #repositories = new Map<string, Repository>();
  /** The boot for which layers are written; `null`: none are. */
  #boot: string | null = null;

  constructor(options: RepositoryCacheOptions) {
    this.#options = options;
  }

  /** Limits for one repository. */
  get limits(): MirrorLimits {
    return this.#options.limits;
  }

  /** Loads what an earlier run left, and removes what it left unfinished. */
  async load(signal: AbortSignal): Promise<void> {
    const { dir, layers } = this.#options;
    await mkdir(dir, { recursive: true });
    this.#boot = layers && isMountablePath(dir) ? await bootId() : null;
    for (const key of await readdir(dir)) {
      const repository = this.#repository(key);
      const loaded = await loadCheckouts({ dir: repository.dir, boot: this.#boot, signal });
      repository.checkouts.push(...loaded);
    }
  }

  mirrorFor(instanceUrl: URL, request: CheckoutRequest): Mirror {
    const repository = this.#repositoryFor(instanceUrl, request);
    if (request.depth === null) return repository.full;
    return request.depth === 1 ? repository.shallow : repository.deep;
  }

  #repositoryFor(instanceUrl: URL, request: CheckoutRequest): Repository {
    // Names are unique only within an instance. The same name elsewhere is another repository.
    return this.#repository(digest(instanceUrl.href, request.repository, String(request.commit.length)));
  }

  #repository(key: string): Repository {
    const known = this.#repositories.get(key);
    if (known) return known;
    const dir = join(this.#options.dir, key);
    const { git, limits } = this.#options;
    const repository: Repository = {
      dir,
      shallow: new Mirror(join(dir, "shallow.git"), git, limits),
      deep: new Mirror(join(dir, "deep.git"), git, limits),
      full: new Mirror(join(dir, "full.git"), git, limits),
      checkouts: [],
    };
    this.#repositories.set(key, repository);
    return repository;
  }

  /**
   * Returns a checkout of the commit itself, or of another commit that differs little from it. Call it while holding
   * the mirror exclusively, when the mirror has the commit.
   */
  async checkoutNear(instanceUrl: URL, content: CheckoutContent, signal: AbortSignal): Promise<NearCheckout> {
    const { depth } = content.request;
    const { repository, mirror, variant } = await this.#placeOf(instanceUrl, content, signal);
    const candidates = repository.checkouts
      .filter((checkout) => checkout.variant === variant)
      .sort((a, b) => b.lastUsed - a.lastUsed || stackOf(b).length - stackOf(a).length);
    const same = candidates.filter(({ commit }) => commit === content.request.commit);
    const known = same.find(({ below }) => below === null) ?? same[0];
    if (known) return await this.#hold(known);
    // Partial history can't be completed later, since it is exact only while the mirror is held.
    if (depth === 1 || depth === null) {
      const near = await this.#pinNear(repository, candidates, mirror, content, signal);
      if (near) {
        using _pin = near.pin;
        if (this.#boot === null) return await this.#hold(near.checkout);
        return await this.#makeLayer(repository, mirror, content, near.checkout, signal);
      }
    }
    return await this.#makeCheckout(repository, mirror, content, variant, signal);
  }

  /**
   * Returns a complete tree of the commit itself, without tags and submodules. Call it under the same conditions as
   * `checkoutNear`.
   */
  async checkoutOf(instanceUrl: URL, request: CheckoutRequest, signal: AbortSignal): Promise<HeldCheckout> {
    const content = { request, tags: [], submodules: [], fill: null, entry: null };
    const { repository, mirror, variant } = await this.#placeOf(instanceUrl, content, signal);
    const known = repository.checkouts.find(
      (checkout) => checkout.variant === variant && checkout.commit === request.commit && checkout.below === null,
    );
    if (known) return await this.#hold(known);
    return await this.#makeCheckout(repository, mirror, content, variant, signal);
  }

  async #placeOf(instanceUrl: URL, content: CheckoutContent, signal: AbortSignal) {
    const { request, submodules, fill } = content;
    const repository = this.#repositoryFor(instanceUrl, request);
    const mirror = this.mirrorFor(instanceUrl, request);
    const tags =
      request.tags === "all"
        ? await mirror.tagsDigest(signal)
        : digest(...content.tags.map(({ name, id }) => `${id} ${name}`));
    const { owner } = this.#options;
    const owned = owner ? [`${owner.uid}:${owner.gid}`] : [];
    const variant = digest(
      String(request.depth),
      request.tags,
      request.directory,
      tags,
      ...owned,
      ...request.sparse,
      ...variantOf(submodules),
      ...(fill === null ? [] : ["\0lfs"]),
    );
    return { repository, mirror, variant };
  }

  /** Pins the first candidate that differs little, or the tree that it is based on if it can't have another layer. */
  async #pinNear(
    repository: Repository,
    candidates: readonly StoredCheckout[],
    mirror: Mirror,
    { request: { commit }, fill }: CheckoutContent,
    signal: AbortSignal,
  ): Promise<{ readonly checkout: StoredCheckout; readonly pin: Disposable } | undefined> {
    const starts = new Set(candidates.map((candidate) => (hasRoomAbove(candidate) ? candidate : rootOf(candidate))));
    for (const checkout of [...starts].slice(0, maximumComparisons)) {
      // Eviction may run meanwhile, and may have removed it before.
      if (!repository.checkouts.includes(checkout)) continue;
      using undo = new DisposableStack();
      const pin = undo.use(pinned(checkout));
      // Attributes decide which files `fill` completes. Git does not rewrite a file whose blob stays the same, so its
      // completed content would stay, too.
      if (fill !== null && !(await mirror.haveSameAttributes(checkout.commit, commit, signal))) continue;
      if (!(await mirror.differByAtMost(checkout.commit, commit, maximumChangedFiles, signal))) continue;
      undo.move();
      return { checkout, pin };
    }
    return undefined;
  }

  async #makeCheckout(
    repository: Repository,
    mirror: Mirror,
    { request, tags, submodules, fill }: CheckoutContent,
    variant: string,
    signal: AbortSignal,
  ): Promise<NearCheckout> {
    const { git, path, owner } = this.#options;
    const name = `checkout-${digest(variant, request.commit)}`;
    return await this.#store(repository, name, null, async (dir) => {
      const tree = join(dir, "tree");
      await writeCheckout({ git, tree, request, tags, mirrorDir: mirror.dir, base: null, signal });
      await fill?.(join(tree, request.directory));
      await placeSubmodules(join(tree, request.directory), submodules, { path, signal });
      // Change the owner once for all workspaces that start from this checkout.
      await handOver(tree, owner, signal);
      return { commit: request.commit, variant, bytes: await diskUsage(tree, path, signal) };
    });
  }

  /** Makes a checkout that consists of the difference from another one. */
  async #makeLayer(
    repository: Repository,
    mirror: Mirror,
    { request, tags, fill, entry }: CheckoutContent,
    below: StoredCheckout,
    signal: AbortSignal,
  ): Promise<NearCheckout> {
    const { git, path, owner } = this.#options;
    const { commit: base, variant } = below;
    entry?.note(`starting from a checkout of ${base}`);
    return await this.#store(repository, `layer-${randomUUID()}`, below, async (dir) => {
      const onStderr = (bytes: Buffer) => void entry?.write("stderr", bytes);
      const write = async (tree: string) => {
        await writeCheckout({ git, tree, request, tags, mirrorDir: mirror.dir, base, signal, onStderr });
        await fill?.(join(tree, request.directory));
        await handOver(tree, owner, signal);
      };
      await writeLayer({ dir, below: layersOf(below), write, signal });
      return { commit: request.commit, variant, bytes: await diskUsage(dir, path, signal) };
    });
  }

  /**
   * Adds a checkout and holds it. A crash before the end leaves only a directory that `load` removes.
   * @param write Called with an empty directory for the checkout.
   */
  async #store(
    repository: Repository,
    name: string,
    below: StoredCheckout | null,
    write: (dir: string) => Promise<Omit<Description, "layer">>,
  ): Promise<NearCheckout> {
    const making = join(repository.dir, `checkout.tmp-${randomUUID()}`);
    const dir = join(repository.dir, name);
    let description: Omit<Description, "layer">;
    try {
      await mkdir(making);
      description = await write(making);
      const layer = below && { layer: { below: basename(below.dir), boot: this.#boot } };
      await writeFile(join(making, descriptionFile), JSON.stringify({ ...description, ...layer }));
      await rename(making, dir);
    } catch (error) {
      // The job's signal may already be aborted.
      const late = AbortSignal.timeout(cleanUpMs);
      await unmountBelow(making, late);
      await removeHostileTree(making, late);
      throw error;
    }
    const checkout = { ...description, dir, below, lastUsed: Date.now(), users: 0 };
    repository.checkouts.push(checkout);
    // Hold it before eviction can run.
    return await this.#hold(checkout);
  }

  async #hold(checkout: StoredCheckout): Promise<NearCheckout> {
    using undo = new DisposableStack();
    undo.use(pinned(checkout));
    const now = new Date();
    recordUse(checkout, now.getTime());
    await utimes(join(checkout.dir, descriptionFile), now, now);
    const { dir, commit } = rootOf(checkout);
    const layers = checkout.below === null ? undefined : layersOf(checkout);
    const owned = undo.move();
    return { tree: join(dir, "tree"), commit, layers, [Symbol.dispose]: () => owned.dispose() };
  }

  /** Shrinks the cache to its limit. Removes the least recently used items first, and keeps those in use. */
  async evict(signal: AbortSignal): Promise<void> {
    const items = await this.#evictable();
    let total = items.reduce((sum, item) => sum + item.bytes, 0);
    // A layer before the checkout below it, which it keeps.
    for (const item of items.sort((a, b) => a.lastUsed - b.lastUsed || b.depth - a.depth)) {
      if (total <= this.#options.maximumBytes && !item.surplus) continue;
      if (await item.remove(signal)) total -= item.bytes;
    }
  }

  async #evictable(): Promise<Evictable[]> {
    const items: Evictable[] = [];
    for (const repository of this.#repositories.values()) {
      for (const checkout of repository.checkouts) {
        items.push({
          bytes: checkout.bytes,
          lastUsed: checkout.lastUsed,
          depth: stackOf(checkout).length,
          surplus: isSurplus(checkout, repository.checkouts),
          remove: (signal) => this.#removeCheckout(repository, checkout, signal),
        });
      }
      for (const mirror of [repository.shallow, repository.deep, repository.full]) {
        const bytes = await mirror.bytes();
        if (bytes === 0) continue;
        items.push({
          bytes,
          lastUsed: await mirror.lastUsed(),
          depth: 0,
          surplus: false,
          remove: async (signal) => {
            await mirror.exclusively(() => mirror.remove(), signal);
            return true;
          },
        });
      }
    }
    return items;
  }

  async #removeCheckout(repository: Repository, checkout: StoredCheckout, signal: AbortSignal): Promise<boolean> {
    if (checkout.users > 0 || repository.checkouts.some(({ below }) => below === checkout)) return false;
    // Remove it from the list first, so that no job starts from a tree that is being removed.
    repository.checkouts.splice(repository.checkouts.indexOf(checkout), 1);
    const doomed = join(repository.dir, `checkout.tmp-${randomUUID()}`);
    await rename(checkout.dir, doomed);
    await removeHostileTree(doomed, signal);
    return true;
  }
}

interface Evictable {
  readonly bytes: number;
  readonly lastUsed: number;
  /** Number of a checkout's layers. */
  readonly depth: number;
  /** Remove it even when there is room. */
  readonly surplus: boolean;
  /** Resolves to whether the item was removed. */
  remove(signal: AbortSignal): Promise<boolean>;
}

/** Whether enough other checkouts of its variant were used later. If a tree is surplus, so are all layers on it. */
function isSurplus(checkout: StoredCheckout, all: readonly StoredCheckout[]): boolean {
  const root = rootOf(checkout);
  const others = all.filter(({ variant }) => variant === checkout.variant);
  const trees = others.filter(({ below, lastUsed }) => below === null && lastUsed > root.lastUsed);
  const layers = others.filter(({ below, lastUsed }) => below !== null && lastUsed > checkout.lastUsed);
  return trees.length >= checkoutsPerVariant || (checkout !== root && layers.length >= layersPerVariant);
}

/** The submodules' part of a variant. The marker separates it from the sparse patterns before it. */
function variantOf(submodules: readonly HeldSubmodule[]): string[] {
  return submodules.length === 0 ? [] : ["\0submodules", ...submodulesKey(submodules)];
}

async function diskUsage(dir: string, path: string, signal: AbortSignal): Promise<number> {
  const { stdout } = await runProgram(["du", "-sk", "--", dir], { env: { PATH: path, LC_ALL: "C" }, signal });
  return (Number.parseInt(stdout, 10) || 0) * 1024;
}

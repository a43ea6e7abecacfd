import { randomUUID } from "node:crypto";
import { mkdir, readdir, readFile, rename, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runProgram } from "@airlock/process";
import type { FileOwner } from "@airlock/runtime";
import { handOver, removeHostileTree } from "@airlock/runtime/host-disk";
import { z } from "zod";
import { type CheckoutRequest, digest } from "../checkout/checkout-request.ts";
import type { Git } from "../checkout/git.ts";
import type { Tag } from "../checkout/reachable-tags.ts";
import { writeCheckout } from "../checkout/write-checkout.ts";
import type { HeldCheckout } from "./held-checkout.ts";
import { Mirror, type MirrorLimits } from "./mirror.ts";
import { type HeldSubmodule, placeSubmodules, submodulesKey } from "./place-submodules.ts";

const Description = z.object({ commit: z.string(), variant: z.string(), bytes: z.number() });

/** A finished checkout that workspaces start from. Nothing writes to it. */
interface StoredCheckout extends z.output<typeof Description> {
  readonly dir: string;
  lastUsed: number;
  users: number;
}

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
}

/** A commit that differs from an existing checkout by more files than this gets a checkout of its own. */
const maximumChangedFiles = 2000;
const checkoutsPerVariant = 3;

/** The repositories on this machine: bare mirrors, and checkouts that workspaces start from. */
export class RepositoryCache {
  readonly #options: RepositoryCacheOptions;
  readonly #repositories = new Map<string, Repository>();

  constructor(options: RepositoryCacheOptions) {
    this.#options = options;
  }

  /** Limits for one repository. */
  get limits(): MirrorLimits {
    return this.#options.limits;
  }

  /** Loads what an earlier run left, and removes what it left unfinished. */
  async load(signal: AbortSignal): Promise<void> {
    await mkdir(this.#options.dir, { recursive: true });
    for (const key of await readdir(this.#options.dir)) {
      const repository = this.#repository(key);
      for (const name of await readdir(repository.dir)) {
        const path = join(repository.dir, name);
        if (name.includes(".tmp-")) await removeHostileTree(path, signal);
        else if (name.startsWith("checkout-")) await this.#loadCheckout(repository, path, signal);
      }
    }
  }

  async #loadCheckout(repository: Repository, dir: string, signal: AbortSignal): Promise<void> {
    const file = join(dir, "checkout.json");
    const text = await readFile(file, "utf8").catch(() => "null");
    const description = Description.safeParse(JSON.parse(text));
    if (!description.success) return await removeHostileTree(dir, signal);
    const { mtimeMs } = await stat(file);
    repository.checkouts.push({ ...description.data, dir, lastUsed: mtimeMs, users: 0 });
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
  async checkoutNear(instanceUrl: URL, content: CheckoutContent, signal: AbortSignal): Promise<HeldCheckout> {
    // Partial history can't be completed later, since it is exact only while the mirror is held.
    const { depth } = content.request;
    return await this.#checkout(instanceUrl, content, depth === 1 || depth === null, signal);
  }

  /**
   * Returns a checkout of the commit itself, without tags and submodules. Call it under the same conditions as
   * `checkoutNear`.
   */
  async checkoutOf(instanceUrl: URL, request: CheckoutRequest, signal: AbortSignal): Promise<HeldCheckout> {
    return await this.#checkout(instanceUrl, { request, tags: [], submodules: [], fill: null }, false, signal);
  }

  async #checkout(
    instanceUrl: URL,
    content: CheckoutContent,
    orNear: boolean,
    signal: AbortSignal,
  ): Promise<HeldCheckout> {
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
    const candidates = repository.checkouts
      .filter((checkout) => checkout.variant === variant)
      .sort((a, b) => b.lastUsed - a.lastUsed);
    const same = candidates.find(({ commit }) => commit === request.commit);
    const near =
      same ?? (orNear ? await this.#firstNear(candidates, mirror, request.commit, fill !== null, signal) : undefined);
    return await this.#hold(near ?? (await this.#makeCheckout(repository, mirror, content, variant, signal)));
  }

  async #firstNear(
    candidates: readonly StoredCheckout[],
    mirror: Mirror,
    commit: string,
    sameAttributes: boolean,
    signal: AbortSignal,
  ) {
    for (const candidate of candidates) {
      // Attributes decide which files `fill` completes. Git does not rewrite a file whose blob stays the same, so its
      // completed content would stay, too.
      if (sameAttributes && !(await mirror.haveSameAttributes(candidate.commit, commit, signal))) continue;
      if (await mirror.differByAtMost(candidate.commit, commit, maximumChangedFiles, signal)) return candidate;
    }
    return undefined;
  }

  async #makeCheckout(
    repository: Repository,
    mirror: Mirror,
    { request, tags, submodules, fill }: CheckoutContent,
    variant: string,
    signal: AbortSignal,
  ): Promise<StoredCheckout> {
    const { git, path, owner } = this.#options;
    const making = join(repository.dir, `checkout.tmp-${randomUUID()}`);
    try {
      const tree = join(making, "tree");
      await writeCheckout({ git, tree, request, tags, mirrorDir: mirror.dir, base: null, signal });
      await fill?.(join(tree, request.directory));
      await placeSubmodules(join(tree, request.directory), submodules, { path, signal });
      // Change the owner once for all workspaces that start from this checkout.
      await handOver(tree, owner, signal);
      const description = { commit: request.commit, variant, bytes: await diskUsage(tree, path, signal) };
      await writeFile(
        join(making, "checkout.json"),
        JSON.stringify({ ...description, repository: request.repository }),
      );
      const dir = join(repository.dir, `checkout-${digest(variant, request.commit)}`);
      await rename(making, dir);
      const checkout = { ...description, dir, lastUsed: Date.now(), users: 0 };
      repository.checkouts.push(checkout);
      return checkout;
    } catch (error) {
      await removeHostileTree(making, AbortSignal.timeout(60_000));
      throw error;
    }
  }

  async #hold(checkout: StoredCheckout): Promise<HeldCheckout> {
    checkout.users += 1;
    checkout.lastUsed = Date.now();
    const now = new Date();
    await utimes(join(checkout.dir, "checkout.json"), now, now);
    let held = true;
    return {
      tree: join(checkout.dir, "tree"),
      commit: checkout.commit,
      [Symbol.dispose]: () => {
        if (held) checkout.users -= 1;
        held = false;
      },
    };
  }

  /** Shrinks the cache to its limit. Removes the least recently used items first, and keeps those in use. */
  async evict(signal: AbortSignal): Promise<void> {
    const items = await this.#evictable();
    let total = items.reduce((sum, item) => sum + item.bytes, 0);
    for (const item of items.sort((a, b) => a.lastUsed - b.lastUsed)) {
      if (total <= this.#options.maximumBytes && !item.surplus) continue;
      if (await item.remove(signal)) total -= item.bytes;
    }
  }

  async #evictable(): Promise<Evictable[]> {
    const items: Evictable[] = [];
    for (const repository of this.#repositories.values()) {
      for (const checkout of repository.checkouts) {
        const newer = repository.checkouts.filter(
          (c) => c.variant === checkout.variant && c.lastUsed > checkout.lastUsed,
        );
        items.push({
          bytes: checkout.bytes,
          lastUsed: checkout.lastUsed,
          surplus: newer.length >= checkoutsPerVariant,
          remove: (signal) => this.#removeCheckout(repository, checkout, signal),
        });
      }
      for (const mirror of [repository.shallow, repository.deep, repository.full]) {
        const bytes = await mirror.bytes();
        if (bytes === 0) continue;
        items.push({
          bytes,
          lastUsed: await mirror.lastUsed(),
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
    if (checkout.users > 0) return false;
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
  /** Remove it even when there is room. */
  readonly surplus: boolean;
  /** Resolves to whether the item was removed. */
  remove(signal: AbortSignal): Promise<boolean>;
}

/** The submodules' part of a variant. The marker separates it from the sparse patterns before it. */
function variantOf(submodules: readonly HeldSubmodule[]): string[] {
  return submodules.length === 0 ? [] : ["\0submodules", ...submodulesKey(submodules)];
}

async function diskUsage(dir: string, path: string, signal: AbortSignal): Promise<number> {
  const { stdout } = await runProgram(["du", "-sk", "--", dir], { env: { PATH: path, LC_ALL: "C" }, signal });
  return (Number.parseInt(stdout, 10) || 0) * 1024;
}

import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { RepositoryName, type RepositoryView } from "@airlock/api";
import { AirlockError, errorMessage } from "@airlock/job";
import { noProxies, type Proxies } from "@airlock/proxy";
import { type Selectable, sql } from "kysely";
import type { Sealer } from "../sealing/sealer.ts";
import type { Database } from "../store/database.ts";
import { inTransaction } from "../store/in-transaction.ts";
import type { Schema } from "../store/schema.ts";
import { BareMirror } from "./bare-mirror.ts";
import { type FoundRevision, findRevision } from "./find-revision.ts";
import type { GitEnvironment } from "./git.ts";
import { listMirrors, removeMirror, removeTrash } from "./left-mirrors.ts";
import { LfsAgents, LfsUpstream } from "./lfs-upstream.ts";
import { defaultMirrorLimits, type MirrorLimits } from "./mirror-limits.ts";
import { deleteRepositoryRow, storeRepository, unknownRepository } from "./repository-rows.ts";
import { parseRepositoryUrl, type RepositorySource } from "./repository-url.ts";
import { namespacesThatSee, setVisibility, visibilities } from "./repository-visibility.ts";
import { repositoryContext } from "./seal-repositories.ts";

export interface RepositoryServiceOptions {
  readonly db: Database;
  /** Encrypts URLs that contain credentials. */
  readonly sealer: Sealer;
  /** Directory of the mirrors. */
  readonly directory: string;
  /** `PATH` of git processes. */
  readonly executablePath: string;
  readonly allowLocal: boolean;
  /** Limits of each mirror. Default: 10 GiB, 20 million objects. */
  readonly limits?: MirrorLimits;
  /** The ways to code hosts. Default: all direct. */
  readonly proxies?: Proxies;
  readonly onError: (message: string) => void;
}

/** A repository's revision, pinned to a commit. */
export interface ResolvedRevision extends FoundRevision {
  readonly repository: string;
}

/** Branches fetched this recently count as up to date. Local paths never do: the user may just have committed. */
const freshMs = 2000;
const addWaitMs = 5000;

interface Fetch {
  /** When git started; infinite while an earlier fetch is still running. */
  startedAt: number;
  done: Promise<void>;
}

type RepositoryRow = Selectable<Schema["repositories"]>;

/** Keeps bare mirrors of the instance's repositories. */
export class RepositoryService implements AsyncDisposable {
  readonly #options: RepositoryServiceOptions;
  readonly #environment: GitEnvironment;
  readonly #lfsAgents: LfsAgents;
  readonly #mirrors = new Map<string, BareMirror>();
  readonly #fetches = new Map<string, Fetch>();
  readonly #fetchedAt = new Map<string, number>();
  readonly #stopped = new AbortController();
  #sweeping: Promise<void> = Promise.resolve();

  private constructor(options: RepositoryServiceOptions) {
    this.#options = options;
    const { proxies = noProxies } = options;
    this.#environment = { path: options.executablePath, home: path.join(options.directory, ".home"), proxies };
    this.#lfsAgents = new LfsAgents(proxies);
  }

  static async open(options: RepositoryServiceOptions): Promise<RepositoryService> {
    const service = new RepositoryService(options);
    await mkdir(options.directory, { recursive: true, mode: 0o700 });
    await mkdir(service.#environment.home, { recursive: true });
    await writeFile(service.#localConfigFile, "[safe]\n\tdirectory = *\n");
    service.#sweeping = service.sweep().catch((error: unknown) => {
      if (!service.#stopped.signal.aborted) options.onError(errorMessage(error));
    });
    return service;
  }

  get environment(): GitEnvironment {
    return this.#environment;
  }

  async list(): Promise<RepositoryView[]> {
    const { db } = this.#options;
    const rows = await db.selectFrom("repositories").selectAll().orderBy("name").execute();
    const seenBy = await visibilities(db, null);
    return rows.map((row) => this.#view(row, seenBy.get(row.name) ?? null));
  }

  async get(name: string): Promise<RepositoryView> {
    const row = await this.#row(name);
    return this.#view(row, await namespacesThatSee(this.#options.db, name));
  }

  /** @throws {AirlockError} `unknown-repository`. */
  async nameOf(nameOrUrl: string): Promise<string> {
    return (await this.#find(nameOrUrl)).name;
  }

  /**
   * Adds a repository and starts to mirror it. Waits a few seconds for the mirror before it returns. Adding the same
   * URL and name again refreshes the mirror with the new credentials.
   * @param record Runs in the transaction that stores it. The URL has no credentials.
   * @throws {AirlockError} `invalid-repository-url`, `local-repository-refused`, `repository-exists`.
   */
  async add(
    request: {
      readonly name?: string | undefined;
      readonly url: string;
      /** The organizations that see it; `null`: everyone; `undefined`: unchanged, and everyone if it is new. */
      readonly organizations?: readonly string[] | null | undefined;
    },
    record: (
      transaction: Database,
      added: { readonly name: string; readonly url: string },
    ) => Promise<void> = async () => {},
  ): Promise<RepositoryView> {
    const source = this.#source(request.url);
    const names = (request.name === undefined ? source.defaultNames : [request.name]).filter(
      (name) => RepositoryName.safeParse(name).success,
    );
    if (names.length === 0) {
      throw new AirlockError(`cannot derive a name from ${source.displayUrl}`, {
        code: "invalid-repository-url",
        hint: "Choose a name: `--name` on the command line.",
      });
    }
    const { db, sealer } = this.#options;
    const existing = await inTransaction(db, async (transaction) => {
      const stored = await storeRepository({ db: transaction, sealer }, { names, givenName: request.name, source });
      if (request.organizations !== undefined) await setVisibility(transaction, stored.name, request.organizations);
      await record(transaction, { name: stored.name, url: source.displayUrl });
      return stored;
    });
    const fetched = this.refresh(existing.name).catch((error: unknown) => {
      this.#options.onError(errorMessage(error));
    });
    await Promise.race([fetched, new Promise((resolve) => setTimeout(resolve, addWaitMs).unref())]);
    return this.get(existing.name);
  }

  /**
   * @param record Runs in the transaction that deletes it.
   * @throws {AirlockError} `unknown-repository`, `repository-in-use`.
   */
  async remove(name: string, record: (transaction: Database) => Promise<void> = async () => {}): Promise<void> {
    const row = await this.#row(name);
    await inTransaction(this.#options.db, async (transaction) => {
      await deleteRepositoryRow(transaction, name);
      await record(transaction);
    });
    await this.#fetches.get(name)?.done.catch(() => {}); // A failure is recorded with the repository.
    const mirror = await this.#mirrorOf(row);
    this.#mirrors.delete(name);
    this.#fetchedAt.delete(name);
    await mirror.idle();
    if (!mirror.exists) return;
    await removeMirror(this.#options.directory, mirror.directory);
  }

  /**
   * Fetches now. Callers that arrive while a fetch waits for its turn share it. Each sees at least what the source had
   * when it called.
   * @throws {AirlockError} `unknown-repository`, `repository-unavailable`.
   */
  async refresh(name: string, options: { readonly maxAgeMs?: number } = {}): Promise<void> {
    const notBefore = Date.now() - (options.maxAgeMs ?? 0);
    if ((this.#fetchedAt.get(name) ?? -1) >= notBefore && options.maxAgeMs) return;
    const running = this.#fetches.get(name);
    if (running && running.startedAt >= notBefore) return running.done;
    const fetch: Fetch = { startedAt: Number.POSITIVE_INFINITY, done: Promise.resolve() };
    this.#fetches.set(name, fetch);
    fetch.done = this.#fetchAfter(running, fetch, name).finally(() => {
      if (this.#fetches.get(name) === fetch) this.#fetches.delete(name);
    });
    return fetch.done;
  }

  /**
   * Pins a repository's revision to a commit. The repository is given by name or URL.
   * @throws {AirlockError} `unknown-repository`, `unknown-revision`, `repository-unavailable`.
   */
  async resolve(nameOrUrl: string, revision: string): Promise<ResolvedRevision> {
    const row = await this.#find(nameOrUrl);
    return await this.#unlessDeleted(row, () => this.#resolve(row, revision));
  }

  async #resolve(row: RepositoryRow, revision: string): Promise<ResolvedRevision> {
    const mirror = await this.#mirrorOf(row);
    const source = this.#sourceOf(row);
    // Only a full id names the same commit forever; tags can move.
    const known = (await mirror.isFullId(revision)) ? await mirror.resolve(revision) : null;
    if (known !== null) return { repository: row.name, commit: known, warnings: [] };
    await this.refresh(row.name, { maxAgeMs: source.kind === "local" ? 0 : freshMs });
    const found = (await findRevision(mirror, revision)) ?? (await this.#fetchPinned(mirror, source, revision));
    if (!found) {
      throw new AirlockError(`repository "${row.name}" has no revision "${revision}"`, {
        code: "unknown-revision",
        hint: "Give a branch, a tag or a commit that has been pushed; refs/heads/NAME and refs/tags/NAME are full names.",
        reason: "checkout-invalid",
      });
    }
    return { repository: row.name, ...found };
  }

  /**
   * Returns the mirror's directory. Tries to fetch the commit first if the mirror lacks it, because another instance
   * may have pinned it.
   * @throws {AirlockError} `unknown-repository`, `repository-unavailable`.
   */
  async directoryWith(name: string, commit: string | null): Promise<string> {
    const row = await this.#row(name);
    return await this.#unlessDeleted(row, () => this.#directoryWith(row, commit));
  }

  async #directoryWith(row: RepositoryRow, commit: string | null): Promise<string> {
    const mirror = await this.#mirrorOf(row);
    if (mirror.exists && (commit === null || (await mirror.resolve(commit)))) return mirror.directory;
    await this.refresh(row.name);
    if (commit !== null && !(await mirror.resolve(commit))) {
      await this.#fetchPinned(mirror, this.#sourceOf(row), commit);
    }
    return mirror.directory;
  }

  /**
   * The Git LFS server for the repository's objects.
   * @throws {AirlockError} `unknown-repository`, `no-lfs`.
   */
  async lfsUpstream(name: string): Promise<LfsUpstream> {
    return new LfsUpstream(this.#sourceOf(await this.#row(name)), this.#lfsAgents);
  }

  /**
   * Deletes mirrors of repositories that another instance deleted, and leftovers of deletions that a kill interrupted.
   */
  async sweep(): Promise<void> {
    const { db, directory } = this.#options;
    await removeTrash(directory);
    for (const name of await listMirrors(directory)) {
      this.#stopped.signal.throwIfAborted();
      const mirror = this.#mirrors.get(name);
      await mirror?.idle();
      const row = await db.selectFrom("repositories").select("name").where("name", "=", name).executeTakeFirst();
      // A repository that is being added has its row before its mirror.
      if (row || this.#fetches.has(name) || this.#mirrors.get(name) !== mirror) continue;
      this.#mirrors.delete(name);
      this.#fetchedAt.delete(name);
      await removeMirror(directory, this.#directoryOf(name));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped.abort(new Error("the instance is stopping"));
    await Promise.allSettled([this.#sweeping, ...[...this.#fetches.values()].map((fetch) => fetch.done)]);
    await this.#lfsAgents[Symbol.asyncDispose]();
  }

  /** If the repository is deleted meanwhile, its mirror disappears. Reports that instead of git's error. */
  async #unlessDeleted<T>(row: RepositoryRow, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const { created_at } = await this.#row(row.name);
      if (created_at.getTime() !== row.created_at.getTime()) throw unknownRepository(row.name);
      throw error;
    }
  }

  get #localConfigFile(): string {
    return path.join(this.#options.directory, ".local-repositories.gitconfig");
  }

  /** The repository's source, with credentials. */
  #sourceOf({ name, url, sealed_url }: RepositoryRow): RepositorySource {
    return this.#source(sealed_url ? this.#options.sealer.open(repositoryContext(name), sealed_url) : url);
  }

  /** A URL without credentials, as the instance stores and shows it. Returns any other text unchanged. */
  withoutCredentials(nameOrUrl: string): string {
    try {
      return this.#source(nameOrUrl).displayUrl;
    } catch (error) {
      if (error instanceof AirlockError) return nameOrUrl;
      throw error;
    }
  }

  #source(url: string): RepositorySource {
    return parseRepositoryUrl(url, { allowLocal: this.#options.allowLocal });
  }

  /**
   * Another instance may have deleted a repository and given its name to a different one. Jobs of the new repository
   * must not get the old mirror.
   */
  async #mirrorOf(row: Pick<RepositoryRow, "name" | "url" | "created_at">): Promise<BareMirror> {
    const { name } = row;
    const identity = `${row.created_at.toISOString()} ${row.url}\n`;
    const known = this.#mirrors.get(name);
    if (known?.identity === identity) return known;
    if (known) {
      this.#fetchedAt.delete(name);
      await known.idle();
    }
    const meanwhile = this.#mirrors.get(name);
    if (meanwhile?.identity === identity) return meanwhile;
    const mirror = new BareMirror({
      directory: this.#directoryOf(name),
      identity,
      environment: this.#environment,
      localConfigFile: this.#localConfigFile,
      limits: this.#options.limits ?? defaultMirrorLimits,
    });
    this.#mirrors.set(name, mirror);
    return mirror;
  }

  #directoryOf(name: string): string {
    // Names have segments without leading dots, and none ends in .git.
    return path.join(this.#options.directory, `${RepositoryName.parse(name)}.git`);
  }

  async #fetchPinned(mirror: BareMirror, source: RepositorySource, revision: string): Promise<FoundRevision | null> {
    if (!(await mirror.isFullId(revision))) return null;
    await mirror.fetchCommit(source, revision, this.#stopped.signal);
    const commit = await mirror.resolve(revision);
    return commit === null ? null : { commit, warnings: [] };
  }

  async #fetchAfter(running: Fetch | undefined, fetch: Fetch, name: string): Promise<void> {
    await running?.done.catch(() => {}); // The earlier fetch's callers get its error.
    fetch.startedAt = Date.now();
    await this.#fetch(name);
  }

  async #fetch(name: string): Promise<void> {
    this.#stopped.signal.throwIfAborted();
    const { db } = this.#options;
    const row = await this.#row(name);
    const startedAt = Date.now();
    const mirror = await this.#mirrorOf(row);
    try {
      await mirror.fetch(this.#sourceOf(row), this.#stopped.signal);
    } catch (error) {
      if (!this.#stopped.signal.aborted) {
        await db
          .updateTable("repositories")
          .set({ state: "failed", error: errorMessage(error) })
          .where("name", "=", name)
          .execute();
      }
      throw error;
    }
    this.#fetchedAt.set(name, startedAt);
    await db
      .updateTable("repositories")
      .set({
        state: "ready",
        error: null,
        head: await mirror.resolve("HEAD"),
        fetched_at: sql<Date>`now()`,
        size_bytes: await mirror.sizeBytes(),
      })
      .where("name", "=", name)
      .execute();
  }

  async #find(nameOrUrl: string): Promise<RepositoryRow> {
    const row = await this.#options.db
      .selectFrom("repositories")
      .selectAll()
      .where((where) =>
        where.or([where("name", "=", nameOrUrl), where("url", "=", this.withoutCredentials(nameOrUrl))]),
      )
      .orderBy("name")
      .executeTakeFirst();
    if (!row) throw unknownRepository(nameOrUrl);
    return row;
  }

  async #row(name: string): Promise<RepositoryRow> {
    const row = await this.#options.db
      .selectFrom("repositories")
      .selectAll()
      .where("name", "=", name)
      .executeTakeFirst();
    if (!row) throw unknownRepository(name);
    return row;
  }

  #view(row: RepositoryRow, organizations: readonly string[] | null): RepositoryView {
    return {
      name: row.name,
      // Show a local path even if a later start forbids local paths.
      url: parseRepositoryUrl(row.url, { allowLocal: true }).displayUrl,
      state: row.state,
      error: row.error,
      head: row.head,
      fetchedAt: row.fetched_at?.toISOString() ?? null,
      sizeBytes: row.size_bytes,
      organizations: organizations === null ? null : [...organizations],
    };
  }
}

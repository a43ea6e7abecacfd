import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { RepositoryName, type RepositoryView } from "@airlock/api";
import { AirlockError, errorMessage, hideAddressCredentials } from "@airlock/job";
import { type Selectable, sql } from "kysely";
import { requireRegisteredKey } from "../sealing/open-keyring.ts";
import type { Sealer } from "../sealing/sealer.ts";
import type { Database } from "../store/database.ts";
import type { Schema } from "../store/schema.ts";
import { BareMirror } from "./bare-mirror.ts";
import { type FoundRevision, findRevision } from "./find-revision.ts";
import type { GitEnvironment } from "./git.ts";
import { LfsUpstream } from "./lfs-upstream.ts";
import { defaultMirrorLimits, type MirrorLimits } from "./mirror-limits.ts";
import { parseRepositoryUrl, type RepositorySource } from "./repository-url.ts";
import { repositoryContext, sealedAddress } from "./seal-repositories.ts";

export interface RepositoryServiceOptions {
  readonly db: Database;
  /** Encrypts addresses that hold credentials. */
  readonly sealer: Sealer;
  /** Holds the mirrors. */
  readonly directory: string;
  /** `PATH` for git. */
  readonly executablePath: string;
  readonly allowLocal: boolean;
  /** Of each mirror. Default: 10 GiB, 20 million objects. */
  readonly limits?: MirrorLimits;
  readonly onError: (message: string) => void;
}

/** A revision of a repository, pinned. */
export interface ResolvedRevision extends FoundRevision {
  readonly repository: string;
}

/** A branch that was fetched this long ago counts as up to date; a local path never does, its user just committed. */
const freshMs = 2000;
const addWaitMs = 5000;
/** Namespace of the advisory locks, apart from those that other parts take. */
const addLock = 415_212;

interface Fetch {
  /** When git started; infinite while the fetch before it runs. */
  startedAt: number;
  done: Promise<void>;
}

type RepositoryRow = Selectable<Schema["repositories"]>;

/** Keeps bare mirrors of the repositories that the instance knows. */
export class RepositoryService implements AsyncDisposable {
  readonly #options: RepositoryServiceOptions;
  readonly #environment: GitEnvironment;
  readonly #mirrors = new Map<string, BareMirror>();
  readonly #fetches = new Map<string, Fetch>();
  readonly #fetchedAt = new Map<string, number>();
  readonly #stopped = new AbortController();

  private constructor(options: RepositoryServiceOptions) {
    this.#options = options;
    this.#environment = { path: options.executablePath, home: path.join(options.directory, ".home") };
  }

  static async open(options: RepositoryServiceOptions): Promise<RepositoryService> {
    const service = new RepositoryService(options);
    await mkdir(options.directory, { recursive: true, mode: 0o700 });
    await mkdir(service.#environment.home, { recursive: true });
    await writeFile(service.#localConfigFile, "[safe]\n\tdirectory = *\n");
    return service;
  }

  get environment(): GitEnvironment {
    return this.#environment;
  }

  async list(): Promise<RepositoryView[]> {
    const rows = await this.#options.db.selectFrom("repositories").selectAll().orderBy("name").execute();
    return rows.map((row) => this.#view(row));
  }

  async get(name: string): Promise<RepositoryView> {
    return this.#view(await this.#row(name));
  }

  /**
   * Adds a repository and begins to mirror it; the answer waits a few seconds for that. Adding the same URL under the
   * same name again refreshes it, with the credentials that it has now.
   * @throws {AirlockError} `invalid-repository-url`, `local-repository-refused`, `repository-exists`.
   */
  async add(request: { readonly name?: string | undefined; readonly url: string }): Promise<RepositoryView> {
    const source = this.#source(request.url);
    const names = (request.name === undefined ? source.defaultNames : [request.name]).filter(
      (name) => RepositoryName.safeParse(name).success,
    );
    if (names.length === 0) {
      throw new AirlockError(`no name can be made from ${source.displayUrl}`, {
        code: "invalid-repository-url",
        hint: "Choose a name: `--name` on the command line.",
      });
    }
    const existing = await this.#store(names, request.name, source);
    const fetched = this.refresh(existing.name).catch((error: unknown) => {
      this.#options.onError(errorMessage(error));
    });
    await Promise.race([fetched, new Promise((resolve) => setTimeout(resolve, addWaitMs).unref())]);
    return this.get(existing.name);
  }

  /** @throws {AirlockError} `unknown-repository`, `repository-in-use`. */
  async remove(name: string): Promise<void> {
    const row = await this.#row(name);
    const { db } = this.#options;
    const open = await db
      .selectFrom("jobs")
      .select("id")
      .where("repository", "=", name)
      .where("state", "in", ["queued", "processing"])
      .limit(1)
      .executeTakeFirst();
    if (open) {
      throw new AirlockError(`job ${open.id} still needs "${name}"`, {
        code: "repository-in-use",
        hint: "Cancel its jobs or wait for them.",
      });
    }
    await db.deleteFrom("repositories").where("name", "=", name).execute();
    await this.#fetches.get(name)?.done.catch(() => {}); // Its failure is on record with the repository.
    const mirror = await this.#mirrorOf(row);
    this.#mirrors.delete(name);
    this.#fetchedAt.delete(name);
    await mirror.idle();
    if (!mirror.exists) return;
    // Out of the way first: a repository of the same name may be added while the old one is deleted.
    const trash = path.join(this.#options.directory, `.trash-${Date.now()}-${Math.random().toString(36).slice(2)}`);
    await rename(mirror.directory, trash);
    await rm(trash, { recursive: true, force: true });
  }

  /**
   * Fetches now. Callers that come while a fetch waits for its turn share it: each sees what was there when it asked.
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
   * Pins a revision of a repository, given by name or URL, to a commit.
   * @throws {AirlockError} `unknown-repository`, `unknown-revision`, `repository-unavailable`.
   */
  async resolve(nameOrUrl: string, revision: string): Promise<ResolvedRevision> {
    const row = await this.#find(nameOrUrl);
    const mirror = await this.#mirrorOf(row);
    const source = this.#sourceOf(row);
    // Only a full id names the same commit forever. Tags move, too.
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
   * The mirror's directory, once it has the commit: another instance may have pinned it.
   * @throws {AirlockError} `unknown-repository`, `repository-unavailable`.
   */
  async directoryWith(name: string, commit: string | null): Promise<string> {
    const row = await this.#row(name);
    const mirror = await this.#mirrorOf(row);
    if (mirror.exists && (commit === null || (await mirror.resolve(commit)))) return mirror.directory;
    await this.refresh(name);
    if (commit !== null && !(await mirror.resolve(commit))) {
      await this.#fetchPinned(mirror, this.#sourceOf(row), commit);
    }
    return mirror.directory;
  }

  /**
   * Where the repository's objects of Git LFS are.
   * @throws {AirlockError} `unknown-repository`, `no-lfs`.
   */
  async lfsUpstream(name: string): Promise<LfsUpstream> {
    return new LfsUpstream(this.#sourceOf(await this.#row(name)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped.abort(new Error("the instance stops"));
    await Promise.allSettled([...this.#fetches.values()].map((fetch) => fetch.done));
  }

  get #localConfigFile(): string {
    return path.join(this.#options.directory, ".local-repositories.gitconfig");
  }

  async #store(
    names: readonly string[],
    givenName: string | undefined,
    source: RepositorySource,
  ): Promise<{ name: string }> {
    const { db, sealer } = this.#options;
    return db.transaction().execute(async (transaction) => {
      // A URL has one name, which no constraint can say where parts of URLs are encrypted.
      await sql`select pg_advisory_xact_lock(${addLock}, hashtext(${source.displayUrl}))`.execute(transaction);
      const known = await transaction
        .selectFrom("repositories")
        .select("name")
        .where("url", "=", source.displayUrl)
        .orderBy("name")
        .execute();
      const same = known.find((row) => givenName === undefined || row.name === givenName);
      if (source.url !== source.displayUrl) await requireRegisteredKey(transaction, sealer.keyId);
      if (same) {
        const address = sealedAddress(sealer, same.name, source);
        // One without credentials in it leaves those that are there.
        if (address.sealed_url) {
          await transaction.updateTable("repositories").set(address).where("name", "=", same.name).execute();
        }
        return same;
      }
      const [other] = known;
      if (other) {
        throw new AirlockError(`${source.displayUrl} is known already, as "${other.name}"`, {
          code: "repository-exists",
          hint: `Use that name, or remove it with DELETE /api/v1/repositories/${encodeURIComponent(other.name)} first.`,
        });
      }
      for (const name of names) {
        const added = await transaction
          .insertInto("repositories")
          .values({ name, ...sealedAddress(sealer, name, source) })
          .onConflict((conflict) => conflict.doNothing())
          .returning("name")
          .executeTakeFirst();
        if (added) return added;
      }
      throw new AirlockError(`another repository is named "${names.at(-1)}"`, {
        code: "repository-exists",
        hint: "Choose another name: `airlock repo add URL --name NAME`, or the name in the form of the web UI.",
      });
    });
  }

  /** Where it comes from, credentials included. */
  #sourceOf({ name, url, sealed_url }: RepositoryRow): RepositorySource {
    return this.#source(sealed_url ? this.#options.sealer.open(repositoryContext(name), sealed_url) : url);
  }

  /** A URL as the instance keeps and shows it, without credentials. Any other text stays as it is. */
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
   * A name may have gone from one repository to another, by way of another instance: what is left here of the old one
   * must not be given to the new one's jobs.
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
    // The name has been through its schema: segments without dots in front, none of which ends in .git.
    const mirror = new BareMirror({
      directory: path.join(this.#options.directory, `${RepositoryName.parse(name)}.git`),
      identity,
      environment: this.#environment,
      localConfigFile: this.#localConfigFile,
      limits: this.#options.limits ?? defaultMirrorLimits,
    });
    this.#mirrors.set(name, mirror);
    return mirror;
  }

  async #fetchPinned(mirror: BareMirror, source: RepositorySource, revision: string): Promise<FoundRevision | null> {
    if (!(await mirror.isFullId(revision))) return null;
    await mirror.fetchCommit(source, revision, this.#stopped.signal);
    const commit = await mirror.resolve(revision);
    return commit === null ? null : { commit, warnings: [] };
  }

  async #fetchAfter(running: Fetch | undefined, fetch: Fetch, name: string): Promise<void> {
    await running?.done.catch(() => {}); // Its own callers are told.
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

  #view(row: RepositoryRow): RepositoryView {
    return {
      name: row.name,
      // A local path stays readable when a later start no longer takes local paths.
      url: parseRepositoryUrl(row.url, { allowLocal: true }).displayUrl,
      state: row.state,
      error: row.error,
      head: row.head,
      fetchedAt: row.fetched_at?.toISOString() ?? null,
      sizeBytes: row.size_bytes,
    };
  }
}

function unknownRepository(name: string): AirlockError {
  // Somebody may have given a URL with credentials in place of a name.
  return new AirlockError(`there is no repository "${hideAddressCredentials(name)}"`, {
    code: "unknown-repository",
    hint: "Add it with `airlock repo add URL`, or list what there is with `airlock repo list`.",
    reason: "checkout-invalid",
  });
}

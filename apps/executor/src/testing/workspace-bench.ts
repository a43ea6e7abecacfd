import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { pino } from "pino";
import { JobLog } from "../logs/job-log.ts";
import { SecretMatcher } from "../logs/secret-matcher.ts";
import { RepositoryCache } from "../workspace/cache/repository-cache.ts";
import type { CheckoutRequest } from "../workspace/checkout/checkout-request.ts";
import { Git } from "../workspace/checkout/git.ts";
import type { LfsOptions } from "../workspace/lfs/fill-lfs-files.ts";
import type { FileOwner } from "../workspace/storage/file-owner.ts";
import { Mounts } from "../workspace/storage/mounts.ts";
import { Trash } from "../workspace/storage/trash.ts";
import type { SubmoduleOptions } from "../workspace/submodules/gather-submodules.ts";
import { type JobDirectory, type Workspace, WorkspaceFactory, type WorkspacePlan } from "../workspace/workspace.ts";
import { RecordingSink } from "./recording-sink.ts";
import type { ScriptedInstance } from "./scripted-instance.ts";

export interface WorkspaceBenchOptions {
  readonly dir: string;
  readonly instance: ScriptedInstance;
  readonly overlays: boolean;
  readonly maximumFiles?: number;
  readonly maximumBytes?: number;
  readonly cacheBytes?: number;
  readonly maximumMs?: number;
  readonly owner?: FileOwner;
  /** PEM file of a certificate authority, and an address that leads to the instance by TLS. */
  readonly certificateFile?: string;
  readonly url?: string;
  readonly submodules?: SubmoduleOptions;
  readonly lfs?: LfsOptions;
}

export const gitToken = "cafe0000cafe0000cafe0000cafe0000cafe0000";

/** What prepares workspaces, without the rest of an executor. */
export class WorkspaceBench {
  readonly path: string;
  readonly sink = new RecordingSink();
  readonly repositories: RepositoryCache;
  readonly trash: Trash;
  readonly factory: WorkspaceFactory;
  readonly #url: string;

  private constructor(options: WorkspaceBenchOptions) {
    const { dir, overlays, maximumFiles = 100_000, maximumBytes = 1e9, cacheBytes = 1e12, owner = null } = options;
    const { submodules = { fetch: "none", allowedHosts: [] }, lfs = { fetch: false, allowedHosts: [] } } = options;
    this.#url = options.url ?? options.instance.url;
    this.path = process.env.PATH ?? "";
    const git = new Git({
      path: this.path,
      homeDir: join(dir, "home"),
      certificateFile: options.certificateFile ?? null,
    });
    const limits = { maximumFiles, maximumBytes, maximumMs: options.maximumMs ?? 60_000 };
    this.trash = new Trash({ dir: join(dir, "trash"), path: this.path, logger: pino({ level: "silent" }) });
    this.repositories = new RepositoryCache({
      dir: join(dir, "repositories"),
      git,
      limits,
      maximumBytes: cacheBytes,
      owner,
      path: this.path,
    });
    this.factory = new WorkspaceFactory({
      dir: join(dir, "workspaces"),
      git,
      repositories: this.repositories,
      mounts: new Mounts(this.path),
      trash: this.trash,
      mountsVisible: true,
      overlays,
      keep: false,
      submodules,
      lfs,
      owner,
      path: this.path,
    });
  }

  static async create(options: WorkspaceBenchOptions): Promise<WorkspaceBench> {
    await mkdir(join(options.dir, "home"), { recursive: true });
    const bench = new WorkspaceBench(options);
    await bench.repositories.load(AbortSignal.timeout(10_000));
    return bench;
  }

  async prepare(
    request: Partial<CheckoutRequest> & { readonly repository: string; readonly commit: string },
    plan: Partial<WorkspacePlan> = {},
    signal: AbortSignal = AbortSignal.timeout(60_000),
  ): Promise<Workspace & { readonly job: JobDirectory }> {
    const job = await this.factory.createJobDirectory("job-1-1");
    const log = new JobLog({ sink: this.sink, secrets: new SecretMatcher([]), maximumBytes: 1e9 });
    const checkout = {
      request: { directory: "", shallow: true, tags: false, sparse: [], ...request },
      source: {
        url: new URL(`${this.#url}/.executors/git/${request.repository}`),
        headers: { authorization: `Bearer ${gitToken}` },
      },
      instanceUrl: new URL(this.#url),
    };
    try {
      const workspace = await job.prepare(
        { checkout, files: [], scripts: [], diskBytes: undefined, ...plan },
        log,
        signal,
      );
      return { ...workspace, job, [Symbol.asyncDispose]: () => job[Symbol.asyncDispose]() };
    } catch (error) {
      await job[Symbol.asyncDispose]();
      throw error;
    }
  }

  async settled(): Promise<void> {
    await this.trash.settled(AbortSignal.timeout(30_000));
  }
}

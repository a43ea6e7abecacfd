import { randomBytes } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { noProxies, type Proxies } from "@airlock/proxy";
import type { FileOwner, Sandbox, WorkspaceFile } from "@airlock/runtime";
import { type HostWorkspace, HostWorkspaces, Trash } from "@airlock/runtime/host-disk";
import { JobLog } from "../logs/job-log.ts";
import { SecretMatcher } from "../logs/secret-matcher.ts";
import { RepositoryCache } from "../workspace/cache/repository-cache.ts";
import type { CheckoutRequest } from "../workspace/checkout/checkout-request.ts";
import { Git, gitMemoryBytes } from "../workspace/checkout/git.ts";
import { type CommitSource, JobDirectories } from "../workspace/job-directory.ts";
import type { LfsOptions } from "../workspace/lfs/fill-lfs-files.ts";
import type { SubmoduleOptions } from "../workspace/submodules/gather-submodules.ts";
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
  readonly maximumMemoryBytes?: number;
  readonly owner?: FileOwner;
  /** Whether workspaces are mounted from a checkout's layers. Default: false. */
  readonly handsOutLayers?: boolean;
  /** PEM file of a certificate authority, and a URL that reaches the instance over TLS. */
  readonly certificateFile?: string;
  readonly url?: string;
  readonly proxies?: Proxies;
  readonly submodules?: SubmoduleOptions;
  readonly lfs?: LfsOptions;
}

/** Limits of git that no ordinary repository reaches. */
export const gitLimits = { maximumMs: 60_000, maximumMemoryBytes: gitMemoryBytes };

export const gitToken = "cafe0000cafe0000cafe0000cafe0000cafe0000";

export interface PreparedWorkspace extends AsyncDisposable {
  /** Path of the workspace on this host. */
  readonly dir: string;
  readonly workspace: HostWorkspace;
  readonly commit: CommitSource;
  readonly sandbox: Pick<Sandbox, "walk">;
  /** The executor's own directory for the job. */
  jobDir(): Promise<string>;
}

/** Prepares workspaces without the rest of an executor. */
export class WorkspaceBench {
  readonly path: string;
  readonly sink = new RecordingSink();
  readonly repositories: RepositoryCache;
  readonly trash: Trash;
  readonly jobDirectories: JobDirectories;
  readonly workspaces: HostWorkspaces;
  readonly #owner: FileOwner | null;
  readonly #url: string;

  private constructor(options: WorkspaceBenchOptions) {
    const { dir, overlays, maximumFiles = 100_000, maximumBytes = 1e9, cacheBytes = 1e12, owner = null } = options;
    const { handsOutLayers = false } = options;
    const { maximumMs = 60_000 } = options;
    const { submodules = { fetch: "none", allowedHosts: [] }, lfs = { fetch: false, allowedHosts: [] } } = options;
    this.#url = options.url ?? options.instance.url;
    this.path = process.env.PATH ?? "";
    const git = new Git({
      path: this.path,
      homeDir: join(dir, "home"),
      certificateFile: options.certificateFile ?? null,
      proxies: options.proxies ?? noProxies,
      maximumMs,
      maximumMemoryBytes: options.maximumMemoryBytes ?? gitMemoryBytes,
    });
    const limits = { maximumFiles, maximumBytes, maximumMs };
    this.trash = new Trash({ dir: join(dir, "trash"), onProblem: () => {} });
    this.repositories = new RepositoryCache({
      dir: join(dir, "repositories"),
      git,
      limits,
      maximumBytes: cacheBytes,
      owner,
      layers: handsOutLayers,
      path: this.path,
    });
    this.jobDirectories = new JobDirectories({
      dir: join(dir, "jobs"),
      git,
      repositories: this.repositories,
      trash: this.trash,
      overlays,
      submodules,
      lfs,
      owner,
    });
    this.workspaces = new HostWorkspaces({
      dir: join(dir, "workspaces"),
      capabilities: { mountsVisible: true, overlays },
      findsHostFile: async () => true,
    });
    this.#owner = owner;
  }

  static async create(options: WorkspaceBenchOptions): Promise<WorkspaceBench> {
    await mkdir(join(options.dir, "home"), { recursive: true });
    const bench = new WorkspaceBench(options);
    await bench.repositories.load(AbortSignal.timeout(10_000));
    return bench;
  }

  /** Prepares a checkout and a workspace that starts from it, as a runtime on this host does. */
  async prepare(
    request: Partial<CheckoutRequest> & { readonly repository: string; readonly commit: string },
    {
      files = [],
      diskBytes,
    }: { readonly files?: readonly WorkspaceFile[]; readonly diskBytes?: number | undefined } = {},
    signal: AbortSignal = AbortSignal.timeout(60_000),
  ): Promise<PreparedWorkspace> {
    await using undo = new AsyncDisposableStack();
    const job = undo.use(this.jobDirectories.open("job-1-1"));
    const log = new JobLog({ sink: this.sink, secrets: new SecretMatcher([]), maximumBytes: 1e9 });
    const { tree, layers, commit } = await job.checkOut(
      {
        request: { directory: "", depth: 1, tags: "none", sparse: [], ...request },
        source: {
          url: new URL(`${this.#url}/.executors/git/${request.repository}`),
          headers: { authorization: `Bearer ${gitToken}` },
        },
        instanceUrl: new URL(this.#url),
      },
      log,
      signal,
    );
    const plan = {
      id: `bench-${randomBytes(6).toString("hex")}`,
      owner: "bench",
      workspace: { checkout: tree, checkoutLayers: layers, files, readOnlyFiles: [] },
      limits: { cpus: 1, memoryBytes: 1e9, pids: 100, ...(diskBytes === undefined ? {} : { diskBytes }) },
      egress: { kind: "none" },
    } as const;
    const workspace = undo.use(
      await this.workspaces.create(plan, { owner: this.#owner, mountOwned: null }, { signal }),
    );
    const owned = undo.move();
    return {
      dir: workspace.dir,
      workspace,
      commit,
      sandbox: { walk: (path, options) => workspace.walk(path, options) },
      jobDir: () => job.path(),
      [Symbol.asyncDispose]: () => owned.disposeAsync(),
    };
  }

  async settled(): Promise<void> {
    await this.trash.settled(AbortSignal.timeout(30_000));
    await this.workspaces.close();
  }
}

import type { RuntimeDescription } from "@airlock/runtime";
import { probeMounts, Trash } from "@airlock/runtime/host-disk";
import type { Logger } from "pino";
import type { Config } from "../config/options.ts";
import { RepositoryCache } from "./cache/repository-cache.ts";
import { Git, gitMemoryBytes } from "./checkout/git.ts";
import { JobDirectories } from "./job-directory.ts";

interface WorkspacesContext {
  readonly config: Config;
  /** Directories of the executor's data directory. */
  readonly data: {
    readonly jobsDir: string;
    readonly repositoriesDir: string;
    readonly trashDir: string;
    readonly homeDir: string;
    readonly probeDir: string;
  };
  readonly description: RuntimeDescription;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/** Time at shutdown for deleting what was moved to the trash. The next start deletes the rest. */
const trashMs = 10_000;

/**
 * Opens what jobs get their workspaces from: git, the cache of repositories and the directories of jobs.
 * @param stack Waits for the trash when it is disposed.
 */
export async function openWorkspaces(
  { config, data, description, logger, signal }: WorkspacesContext,
  stack: AsyncDisposableStack,
) {
  const { path, certificateFile, cacheBytes } = config.workspace;
  const git = new Git({
    path,
    homeDir: data.homeDir,
    certificateFile,
    proxies: config.proxies,
    maximumMs: config.workspace.maximumCheckoutMs,
    maximumMemoryBytes: gitMemoryBytes,
  });
  const gitVersion = await git.version(signal);
  const trash = new Trash({
    dir: data.trashDir,
    onProblem: (dir, error) => logger.warn({ dir, error }, "a job's directory could not be removed yet"),
  });
  stack.defer(() => trash.settled(AbortSignal.timeout(trashMs)));
  const { overlays } = await probeMounts({
    setting: config.workspace.mounts,
    probeDir: data.probeDir,
    // This process itself writes the mounted files, so it certainly sees them.
    findsHostFile: async () => true,
    signal,
  });
  const repositories = new RepositoryCache({
    dir: data.repositoriesDir,
    git,
    path,
    maximumBytes: cacheBytes,
    owner: description.checkoutOwner,
    layers: overlays && (description.mountsCheckoutLayers ?? false),
    limits: {
      maximumBytes: config.workspace.maximumCheckoutBytes,
      maximumFiles: config.workspace.maximumCheckoutFiles,
      maximumMs: config.workspace.maximumCheckoutMs,
    },
  });
  await repositories.load(signal);
  const jobDirectories = new JobDirectories({
    dir: data.jobsDir,
    git,
    repositories,
    trash,
    overlays,
    owner: description.checkoutOwner,
    submodules: config.workspace.submodules,
    lfs: config.workspace.lfs,
  });
  return { git, gitVersion, trash, repositories, jobDirectories };
}

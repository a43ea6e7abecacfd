import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { errorMessage } from "@airlock/job";
import type { Sandbox } from "@airlock/runtime";
import { Trash } from "@airlock/runtime/host-disk";
import { findStaticBusybox, type MicrovmRuntime } from "@airlock/runtime/microvm";
import type { Config } from "../../config/options.ts";
import { InstanceClient } from "../../instance-client/instance-client.ts";
import { executorName } from "../../janitor/executor-name.ts";
import { collectTestVms, makePlace, type TestVmPlace } from "../../janitor/test-vm-place.ts";
import { planEgress } from "../../job/egress-plan.ts";
import { limitsOf } from "../../job/job-plan.ts";
import { runStartup } from "../../job/run-startup.ts";
import { JobLog } from "../../logs/job-log.ts";
import { SecretMatcher } from "../../logs/secret-matcher.ts";
import { secretPatterns } from "../../logs/secret-patterns.ts";
import { RepositoryCache } from "../../workspace/cache/repository-cache.ts";
import { checkoutRequest } from "../../workspace/checkout/checkout-request.ts";
import { Git, gitMemoryBytes } from "../../workspace/checkout/git.ts";
import { JobDirectories } from "../../workspace/job-directory.ts";
import { explainSource, findRevision } from "./find-revision.ts";
import { PrintedLog } from "./printed-log.ts";
import { TerminalSessions } from "./terminal-sessions.ts";

export interface TestVmRequest {
  /** Name of a repository of the instance, or its address (`https://…`); `null`: the workspace is empty. */
  readonly repository: string | null;
  /** A branch, a tag or a full commit id. */
  readonly revision: string;
  /** Image of the shell; `null`: the guest's own system. */
  readonly image: string | null;
}

export interface OpenTestVm extends AsyncDisposable {
  readonly name: string;
  /** Its directory. */
  readonly dir: string;
  readonly sandbox: Sandbox;
  readonly sessions: TerminalSessions;
  /** Image of the shell. */
  readonly image: string;
  readonly busybox: Buffer;
}

/** Opens the runtime of virtual machines, whatever runtime the configuration chooses for jobs. */
export type OpenRuntime = (config: Config, onProblem: (problem: unknown) => void) => Promise<MicrovmRuntime>;

export interface OpenTestVmOptions {
  readonly config: Config;
  readonly openRuntime: OpenRuntime;
  readonly request: TestVmRequest;
  /** Receives what happens, one line each. */
  readonly print: (line: string) => void;
  readonly signal: AbortSignal;
}

/**
 * Boots a virtual machine as for a job without resources of its own, with the checkout as its workspace.
 * @throws {AirlockError} for everything that an administrator can correct. Nothing is left then.
 */
export async function openTestVm(options: OpenTestVmOptions): Promise<OpenTestVm> {
  const { config, request, print, signal } = options;
  await using undo = new AsyncDisposableStack();
  const runtime = await options.openRuntime(config, (problem) => print(errorMessage(problem)));
  undo.defer(() => runtime.close());
  for (const name of await collectTestVms(config.dataDir, runtime, signal)) print(`removed what was left of ${name}`);
  const busybox = await readFile(await findStaticBusybox());
  const place = undo.use(await makePlace(config.dataDir, config.runtime.microvm.namePrefix));
  const log = new JobLog({
    sink: new PrintedLog(print),
    secrets: new SecretMatcher(secretPatterns({ [config.instance.sharedSecret]: "SHARED_SECRET" })),
    maximumBytes: config.job.maximumLogBytes,
  });
  const checkout =
    request.repository === null ? null : undo.use(await checkOut(request.repository, options, place, log));
  const description = await runtime.describe({ signal });
  const egress = planEgress(undefined, config.job.egress, description);
  if (egress.note !== null) print(egress.note);
  const sessions = new TerminalSessions();
  const image = request.image ?? runtime.systemImage;
  const sandbox = undo.use(
    await runtime.createSandbox(
      {
        id: place.sandboxId,
        owner: place.name,
        workspace: { checkout: checkout?.tree ?? null, files: [], readOnlyFiles: [] },
        limits: limitsOf({}, config.job),
        egress: egress.policy,
        services: [sessions.service],
        registryAuth: config.job.registryCredentials,
      },
      { signal },
    ),
  );
  for (const note of sandbox.notes) print(note);
  await runStartup(sandbox, log, signal);
  await sandbox.prepareImage(image, { signal, progress: print });
  const owned = undo.move();
  return {
    name: place.name,
    dir: place.dir,
    sandbox,
    sessions,
    image,
    busybox,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function checkOut(
  repository: string,
  { config, request, signal }: OpenTestVmOptions,
  { dir }: TestVmPlace,
  log: JobLog,
): Promise<{ readonly tree: string } & AsyncDisposable> {
  await using undo = new AsyncDisposableStack();
  const { path, certificateFile, cacheBytes, maximumCheckoutBytes, maximumCheckoutFiles, maximumCheckoutMs } =
    config.workspace;
  const homeDir = join(dir, "home");
  await mkdir(homeDir, { mode: 0o500 });
  const git = new Git({
    path,
    homeDir,
    certificateFile,
    proxies: config.proxies,
    maximumMs: maximumCheckoutMs,
    maximumMemoryBytes: gitMemoryBytes,
  });
  const isOfInstance = !/^https?:\/\//i.test(repository);
  const client = undo.adopt(
    new InstanceClient(config.instance, await executorName(config.dataDir)),
    async (opened) => await opened.close(),
  );
  const source = isOfInstance
    ? { url: client.gitUrl(repository), headers: client.ownGitCredentials() }
    : { url: new URL(repository), headers: {} };
  const repositories = new RepositoryCache({
    dir: join(dir, "repositories"),
    git,
    path,
    maximumBytes: cacheBytes,
    owner: null,
    layers: false,
    limits: { maximumBytes: maximumCheckoutBytes, maximumFiles: maximumCheckoutFiles, maximumMs: maximumCheckoutMs },
  });
  const directories = new JobDirectories({
    dir: join(dir, "jobs"),
    git,
    repositories,
    trash: new Trash({ dir: join(dir, "trash"), onProblem: () => {} }),
    overlays: false,
    owner: null,
    submodules: config.workspace.submodules,
    lfs: config.workspace.lfs,
  });
  try {
    const commit = await findRevision(git, source, request.revision, signal);
    const name = isOfInstance ? repository : source.url.host + source.url.pathname;
    const plan = checkoutRequest({ repository: name, commit, directory: "", depth: 1, tags: "none", sparse: [] });
    const directory = undo.use(directories.open("test-vm"));
    const { tree } = await directory.checkOut({ request: plan, source, instanceUrl: config.instance.url }, log, signal);
    const owned = undo.move();
    return { tree, [Symbol.asyncDispose]: () => owned.disposeAsync() };
  } catch (error) {
    signal.throwIfAborted();
    throw explainSource(error, isOfInstance);
  }
}

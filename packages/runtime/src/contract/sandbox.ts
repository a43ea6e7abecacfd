import type { Abortable } from "./abortable.ts";
import type { SandboxStep, StepOptions, StepStatus } from "./step.ts";
import type { TreeEntry, WalkOptions, WorkspaceFile } from "./workspace.ts";

/**
 * One isolated place for one job.
 *
 * Its life: `runStep` and the workspace calls (`putFiles`, `readFile`, `removeFile`, `walk`) one after the other, then
 * `stop`, then only `readFile` and `walk`, then dispose. `prepareImage` may overlap anything before `stop`. A call that
 * comes too early or too late, or that overlaps one that it must not, rejects with code `sandbox-misused` and has no
 * effect; `stop` and disposal may come at any time: what is under way then rejects.
 *
 * Whoever creates a sandbox disposes it, on every way out; disposing ends every process, gives everything back, the
 * workspace included, and is safe to do twice. When disposal rejects, `Runtime.collect` tries again.
 */
export interface Sandbox extends AsyncDisposable {
  readonly id: string;

  /** How the workspace was made, for the job's log: one sentence each, e.g. why the limit of the disk is only watched. */
  readonly notes: readonly string[];

  /**
   * Makes sure the image is here, ready to run. Says in words what it does (`pulling layer 2 of 3, 43 %`).
   * @throws {AirlockError} reason `image-invalid` (unknown, malformed, no `/bin/sh`), `image-unavailable`, or `policy`
   * (not allowed by the executor's administrator, or not here and not to be pulled).
   */
  prepareImage(image: string, options: Abortable & { readonly progress: (text: string) => void }): Promise<void>;

  /**
   * Runs one step to its end; an exit code other than 0 is a result. When the returned promise settles, no process of
   * the step is left, not even a daemon that it started, its own files below `/airlock` are gone, and all its output was
   * delivered. So no process of the job can change the workspace before the next step.
   * @throws `signal.reason` when aborted: SIGTERM, then SIGKILL after the grace period of 5 s.
   * @throws {AirlockError} reason `runtime` or `image-invalid` for faults that are not the command's.
   */
  runStep(step: SandboxStep, options: StepOptions): Promise<StepStatus>;

  /**
   * Puts files into the workspace. What is there may be hostile: no link is followed, no byte lands outside.
   * @throws {AirlockError} reason `checkout-invalid` when a path leaves the workspace, when something else than a file is
   * in its place, or when the workspace is full; earlier files are there then.
   */
  putFiles(files: readonly WorkspaceFile[], options: Abortable): Promise<void>;

  /**
   * Reads one file of the workspace; `path` as in {@link WorkspaceFile}.
   * @returns `null` when there is no regular file at the path, or when a link is part of it.
   * @throws {AirlockError} code `file-too-large` when it is larger than `maximumBytes`.
   */
  readFile(path: string, options: Abortable & { readonly maximumBytes: number }): Promise<Buffer | null>;

  /** Removes one file or link of the workspace. Does nothing when there is none, or when a link is part of the path. */
  removeFile(path: string, options: Abortable): Promise<void>;

  /**
   * Walks everything below a directory of the workspace, in byte order of the names, a directory before what is in it.
   * Follows no link. `path` as in {@link WorkspaceFile}, or `""` for the workspace itself; nothing is found below a path
   * that is not a directory or that leads through a link.
   * @throws {AirlockError} code `too-many-files` when a directory would exceed `maximumEntries`; what came before is right.
   */
  walk<State>(path: string, options: WalkOptions<State>): AsyncIterable<TreeEntry<State>>;

  /**
   * Ends every process of the job for good. When it resolves, nothing of the job runs any more and the workspace stays as
   * it is until disposal, so results are read after it. Safe to call twice.
   * @throws {AirlockError} reason `runtime` when it is not certain that all processes are gone: read no results then.
   */
  stop(options: Abortable): Promise<void>;
}

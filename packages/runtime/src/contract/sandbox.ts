import type { Abortable } from "./abortable.ts";
import type { SandboxStep, StepOptions, StepStatus } from "./step.ts";
import type { SandboxUsage } from "./usage.ts";
import type { TreeEntry, WalkOptions, WorkspaceFile } from "./workspace.ts";

/**
 * The isolated environment of one job.
 *
 * Order of calls: `runStep` and the workspace calls (`putFiles`, `readFile`, `removeFile`, `walk`) one after the other,
 * then `stop`, then only `readFile` and `walk`, then dispose. `prepareImage` may overlap any call before `stop`. A call
 * that is out of order, or that overlaps one that it must not, rejects with code `sandbox-misused` and has no effect.
 * `stop` and disposal are allowed at any time; pending calls then reject.
 *
 * The creator of a sandbox must always dispose of it. Disposal ends every process and releases everything, including
 * the workspace. It is safe to call twice. When it rejects, `Runtime.collect` tries again.
 */
export interface Sandbox extends AsyncDisposable {
  readonly id: string;

  /**
   * How the workspace was created, for the job's log; one sentence each. For example, why the disk limit is only
   * watched.
   */
  readonly notes: readonly string[];

  /**
   * Runs what the executor's administrator prepared for each sandbox. The caller runs it before the first step, once, and
   * runs no step if it fails. As `runStep` otherwise. Absent: nothing is prepared.
   */
  readonly startup?: (options: StepOptions) => Promise<StepStatus>;

  /**
   * Makes sure that the image is on this machine, ready to run. Reports progress as text (`pulling layer 2 of 3, 43
   * %`).
   * @throws {AirlockError} reason `image-invalid` (unknown, malformed, no `/bin/sh`), `image-unavailable`, or `policy`
   * (not allowed by the executor's administrator, or missing and not to be pulled).
   */
  prepareImage(image: string, options: Abortable & { readonly progress: (text: string) => void }): Promise<void>;

  /**
   * Runs one step to its end. An exit code other than 0 is a result, not an error. When the promise settles, no process
   * of the step is left, not even a daemon that it started. Its own files below `/airlock` are removed, and all its
   * output was delivered. So no process of the job can change the workspace before the next step.
   *
   * The step ends when its script ends. Processes that the script leaves behind may still pass on earlier output, as with
   * `exec > >(tee log)`. The runtime kills them when they are silent, or after waiting 5 s for their output.
   *
   * The step also ends when this process dies, whatever kills this process and whatever the step does to prevent it.
   * @throws `signal.reason` when aborted. Every process of the step gets SIGTERM, and SIGKILL if it is left after 5 s.
   * @throws {AirlockError} reason `runtime` or `image-invalid` for faults that are not the command's.
   */
  runStep(step: SandboxStep, options: StepOptions): Promise<StepStatus>;

  /**
   * What the sandbox uses at this moment. May overlap any call before `stop`. Absent: this runtime can't tell. A hostile
   * job may influence what a virtual machine says of itself.
   */
  readonly usage?: (options: Abortable) => Promise<SandboxUsage>;

  /**
   * Writes files into the workspace, whose content is untrusted: no link is followed, no byte is written outside.
   * @throws {AirlockError} reason `checkout-invalid` when a path leaves the workspace, when anything but a file is in
   * its place, or when the workspace is full. Earlier files stay.
   */
  putFiles(files: readonly WorkspaceFile[], options: Abortable): Promise<void>;

  /**
   * Reads one file of the workspace. `path` as in {@link WorkspaceFile}.
   * @returns `null` when there is no regular file at the path, or when a link is part of it.
   * @throws {AirlockError} code `file-too-large` when it is larger than `maximumBytes`.
   */
  readFile(path: string, options: Abortable & { readonly maximumBytes: number }): Promise<Buffer | null>;

  /** Removes one file or link of the workspace. Does nothing if it does not exist or if a link is part of the path. */
  removeFile(path: string, options: Abortable): Promise<void>;

  /**
   * Walks everything below a directory of the workspace, in byte order of the names, a directory before its content.
   * Follows no link. `path` as in {@link WorkspaceFile}, or `""` for the workspace itself. Yields nothing below a path
   * that is not a directory or that leads through a link.
   * @throws {AirlockError} code `too-many-files` when a directory would exceed `maximumEntries`. Earlier entries are
   * valid.
   */
  walk<State>(path: string, options: WalkOptions<State>): AsyncIterable<TreeEntry<State>>;

  /**
   * Ends every process of the job for good. Once it resolves, no process of the job runs and the workspace stays
   * unchanged until disposal. So read results after it. Safe to call twice.
   * @throws {AirlockError} reason `runtime` when it is not certain that all processes are gone. Read no results then.
   */
  stop(options: Abortable): Promise<void>;
}

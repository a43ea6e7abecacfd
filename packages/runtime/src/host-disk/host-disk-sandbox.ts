import { abandonable } from "../contract/abandonable.ts";
import {
  type Abortable,
  type Sandbox,
  SandboxCalls,
  type SandboxStep,
  type SandboxUsage,
  type StepOptions,
  type StepStatus,
  type TreeEntry,
  type WalkOptions,
  type WorkspaceFile,
} from "../contract/index.ts";
import type { HostWorkspace } from "./host-workspace.ts";

/**
 * Runs the processes of one job with any isolation technology. {@link HostDiskSandbox} adds the workspace and enforces
 * the order of calls.
 */
export interface StepRunner {
  prepareImage: Sandbox["prepareImage"];
  /** As in the contract, except that the caller has already placed the step's files and checked the order of calls. */
  runStep(step: SandboxStep, options: StepOptions): Promise<StepStatus>;
  /** What the processes use; the disk is the workspace's. */
  usage(): SandboxUsage;
  /**
   * Ends every process and releases everything but the workspace. Pending calls reject.
   * @throws when it is not certain that all processes are gone. The next call tries again.
   */
  end(): Promise<void>;
}

/** A sandbox whose workspace is on this host's disk and is mounted into it. */
export class HostDiskSandbox implements Sandbox {
  readonly id: string;
  readonly #workspace: HostWorkspace;
  readonly #runner: StepRunner;
  readonly #calls = new SandboxCalls();
  #stopping: Promise<void> | undefined;
  #disposing: Promise<void> | undefined;

  constructor(id: string, workspace: HostWorkspace, runner: StepRunner) {
    this.id = id;
    this.#workspace = workspace;
    this.#runner = runner;
  }

  get notes(): readonly string[] {
    return this.#workspace.notes;
  }

  async prepareImage(image: string, options: Parameters<Sandbox["prepareImage"]>[1]): Promise<void> {
    this.#calls.require("prepareImage", ["running"]);
    await this.#runner.prepareImage(image, options);
  }

  async runStep(step: SandboxStep, options: StepOptions): Promise<StepStatus> {
    options.signal.throwIfAborted();
    using _ = this.#calls.begin("runStep", ["running"]);
    using _files = this.#workspace.placeReadOnlyFiles(step.files);
    using watch = this.#workspace.disk?.watch();
    const status = await this.#runner.runStep(step, options);
    const problem = await watch?.problem();
    if (problem === undefined) return status;
    return { ...status, notes: [...(status.notes ?? []), problem], causes: [...(status.causes ?? []), problem] };
  }

  async usage({ signal }: Abortable): Promise<SandboxUsage> {
    signal.throwIfAborted();
    this.#calls.require("usage", ["running"]);
    return { ...this.#runner.usage(), diskBytes: await this.#workspace.disk?.usedBytes() };
  }

  async putFiles(files: readonly WorkspaceFile[], { signal }: Abortable): Promise<void> {
    using _ = this.#calls.begin("putFiles", ["running"]);
    await this.#workspace.putFiles(files, signal);
  }

  async readFile(path: string, { maximumBytes, signal }: Abortable & { maximumBytes: number }): Promise<Buffer | null> {
    signal.throwIfAborted();
    using _ = this.#calls.begin("readFile", ["running", "stopped"]);
    return await this.#workspace.readFile(path, maximumBytes);
  }

  async removeFile(path: string, { signal }: Abortable): Promise<void> {
    signal.throwIfAborted();
    using _ = this.#calls.begin("removeFile", ["running"]);
    await this.#workspace.removeFile(path);
  }

  async *walk<State>(path: string, options: WalkOptions<State>): AsyncGenerator<TreeEntry<State>> {
    using _ = this.#calls.begin("walk", ["running", "stopped"]);
    for await (const entry of this.#workspace.walk(path, options)) {
      yield entry;
      this.#calls.require("walk", ["running", "stopped"]);
    }
  }

  async stop({ signal }: Abortable): Promise<void> {
    if (this.#calls.isDisposed) return;
    this.#calls.stop();
    await abandonable(this.#end(), signal);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#calls.dispose();
    // Allow another attempt after a failure.
    this.#disposing ??= this.#dispose().catch((error: unknown) => {
      this.#disposing = undefined;
      throw error;
    });
    return this.#disposing;
  }

  async #dispose(): Promise<void> {
    await this.#end();
    await this.#workspace[Symbol.asyncDispose]();
  }

  #end(): Promise<void> {
    this.#stopping ??= this.#runner.end().catch((error: unknown) => {
      this.#stopping = undefined;
      throw error;
    });
    return this.#stopping;
  }
}

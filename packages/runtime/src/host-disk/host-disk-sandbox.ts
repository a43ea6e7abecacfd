import { onAbort } from "@airlock/async";
import { AirlockError } from "@airlock/job";
import {
  type Abortable,
  runtimeFailed,
  type Sandbox,
  type SandboxStep,
  type StepOptions,
  type StepStatus,
  type TreeEntry,
  type WalkOptions,
  type WorkspaceFile,
} from "../contract/index.ts";
import type { HostWorkspace } from "./host-workspace.ts";

/** The processes of one job, whatever isolates them; {@link HostDiskSandbox} adds the workspace and keeps the order of calls. */
export interface StepRunner {
  prepareImage: Sandbox["prepareImage"];
  /** As the contract says, except that the step's files are in place and its order among the calls is kept. */
  runStep(step: SandboxStep, options: StepOptions): Promise<StepStatus>;
  /**
   * Ends every process and gives back all but the workspace. What is under way rejects.
   * @throws when it is not certain that all processes are gone; the next call tries again.
   */
  end(): Promise<void>;
}

type Phase = "running" | "stopped" | "disposed";

/** A sandbox whose workspace lies on this host's disk and is mounted into it. */
export class HostDiskSandbox implements Sandbox {
  readonly id: string;
  readonly #workspace: HostWorkspace;
  readonly #runner: StepRunner;
  #phase: Phase = "running";
  /** What the workspace is used by right now. */
  #use: string | null = null;
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
    this.#require("prepareImage", ["running"]);
    await this.#runner.prepareImage(image, options);
  }

  async runStep(step: SandboxStep, options: StepOptions): Promise<StepStatus> {
    options.signal.throwIfAborted();
    return await this.#using("runStep", ["running"], async () => {
      using _ = this.#workspace.placeReadOnlyFiles(step.files);
      using watch = this.#workspace.disk?.watch();
      const status = await this.#runner.runStep(step, options);
      const problem = await watch?.problem();
      if (problem === undefined) return status;
      return { ...status, notes: [...(status.notes ?? []), problem], causes: [...(status.causes ?? []), problem] };
    });
  }

  async putFiles(files: readonly WorkspaceFile[], { signal }: Abortable): Promise<void> {
    await this.#using("putFiles", ["running"], () => this.#workspace.putFiles(files, signal));
  }

  async readFile(path: string, { maximumBytes, signal }: Abortable & { maximumBytes: number }): Promise<Buffer | null> {
    signal.throwIfAborted();
    return await this.#using("readFile", ["running", "stopped"], () => this.#workspace.readFile(path, maximumBytes));
  }

  async removeFile(path: string, { signal }: Abortable): Promise<void> {
    signal.throwIfAborted();
    await this.#using("removeFile", ["running"], () => this.#workspace.removeFile(path));
  }

  async *walk<State>(path: string, options: WalkOptions<State>): AsyncGenerator<TreeEntry<State>> {
    this.#begin("walk", ["running", "stopped"]);
    try {
      for await (const entry of this.#workspace.walk(path, options)) {
        yield entry;
        this.#require("walk", ["running", "stopped"]);
      }
    } finally {
      this.#use = null;
    }
  }

  async stop({ signal }: Abortable): Promise<void> {
    if (this.#phase === "disposed") return;
    this.#phase = "stopped";
    await abandonable(this.#end(), signal);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#phase = "disposed";
    // A disposal that failed can be tried again.
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

  async #using<T>(call: string, phases: readonly Phase[], work: () => Promise<T>): Promise<T> {
    this.#begin(call, phases);
    try {
      return await work();
    } finally {
      this.#use = null;
    }
  }

  #begin(call: string, phases: readonly Phase[]): void {
    this.#require(call, phases);
    if (this.#use !== null) throw misused(`${call} was called while ${this.#use} is under way`);
    this.#use = call;
  }

  #require(call: string, phases: readonly Phase[]): void {
    if (this.#phase === "disposed") throw runtimeFailed("the sandbox is disposed");
    if (!phases.includes(this.#phase)) throw misused(`${call} was called after the sandbox was stopped`);
  }
}

function misused(what: string): AirlockError {
  return new AirlockError(what, { code: "sandbox-misused", reason: "runtime" });
}

/** Waits for work that goes on when the signal ends the wait. */
async function abandonable(work: Promise<void>, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  using _ = onAbort(signal, () => reject(signal.reason));
  // After an abort nothing else takes its failure.
  work.catch(() => {});
  await Promise.race([work, promise]);
}

import { pause } from "@airlock/async";
import { AirlockError } from "@airlock/job";
import { abandonable } from "../contract/abandonable.ts";
import { checkEnvironment } from "../contract/check-environment.ts";
import { checkStep } from "../contract/check-step.ts";
import { imageUnusable, refusedByPolicy } from "../contract/errors.ts";
import {
  type Abortable,
  type ReadOnlyFile,
  runtimeFailed,
  type Sandbox,
  SandboxCalls,
  type SandboxPlan,
  type SandboxStep,
  type StepOptions,
  type StepStatus,
  type TreeEntry,
  type WalkOptions,
  type WorkspaceFile,
} from "../contract/index.ts";
import { hostImageName } from "../host/host-root.ts";
import { admitImage, type ImagePolicy } from "../images/policy/image-policy.ts";
import type { ProcessLimits } from "../isolation/process-limits.ts";
import type { GuestAgent } from "../microvm/guest/guest-agent.ts";
import { GuestCallError } from "../microvm/guest/guest-call-error.ts";
import { runGuestStep } from "../microvm/guest/run-guest-step.ts";
import type { GuestStep } from "../microvm/guest/step-spec.ts";
import { walkGuestTree } from "../microvm/guest/walk-guest-tree.ts";
import { putGuestFiles, workspacePath } from "../microvm/put-guest-files.ts";
import { credentialsProblem } from "./pull-secret.ts";
import type { Slot, StepSlots } from "./step-slots.ts";

export interface KubernetesSandboxParts {
  /** With all services, also those of the runtime. */
  readonly plan: SandboxPlan;
  /** Lines for the job's log. */
  readonly notes: readonly string[];
  /** The pod's agent. The workspace has its files. */
  readonly agent: GuestAgent;
  readonly slots: StepSlots;
  readonly images: ImagePolicy;
  readonly processLimits: ProcessLimits;
  /** What {@link GuestStep.seccompFilter} takes. */
  readonly seccompFilter: Buffer | null;
  /** Aborted with the reason when the pod has ended. */
  readonly ended: AbortSignal;
  /**
   * Deletes the pod. Waits until its processes are gone unless `hasStopped`: then the agent has ended those of steps.
   */
  readonly release: (hasStopped: boolean) => Promise<void>;
}

const [rlimitCore, rlimitOpenFiles, rlimitPendingSignals, rlimitMessageQueue] = [4, 7, 11, 12] as const;
/** How long the agent may take for what ends a step or the sandbox. Then the kubelet has to end it. */
const stopMs = 5_000;
/** The processes of a pod that the kubelet evicts end before the API server tells why. */
const verdictMs = 10_000;
const needsShell = "Steps are shell scripts: use an image with a shell for this machine's architecture.";

/** A job's sandbox: one pod, to which each step adds a container. */
export class KubernetesSandbox implements Sandbox {
  readonly id: string;
  readonly notes: readonly string[];
  readonly #parts: KubernetesSandboxParts;
  readonly #calls = new SandboxCalls();
  readonly #ending = new AbortController();
  #stopping: Promise<void> | undefined;
  #disposing: Promise<void> | undefined;

  constructor(parts: KubernetesSandboxParts) {
    this.#parts = parts;
    this.id = parts.plan.id;
    this.notes = parts.notes;
  }

  async prepareImage(image: string, { signal, progress }: Parameters<Sandbox["prepareImage"]>[1]): Promise<void> {
    signal.throwIfAborted();
    this.#calls.require("prepareImage", ["running"]);
    this.#admit(image);
    await this.#explained(async () => void (await this.#parts.slots.prepare(image, this.#untilEnd(signal), progress)));
  }

  async runStep(step: SandboxStep, options: StepOptions): Promise<StepStatus> {
    options.signal.throwIfAborted();
    using _ = this.#calls.begin("runStep", ["running"]);
    checkStep(step);
    checkEnvironment(step.env);
    this.#admit(step.image);
    const signal = this.#untilEnd(options.signal);
    return await this.#explained(async () => {
      const slot = await this.#parts.slots.take(step.image, signal);
      try {
        await this.#putStepFiles([...this.#parts.plan.workspace.readOnlyFiles, ...step.files], signal);
        const running = this.#run(step, slot, { ...options, signal });
        // A failure shows again when the next step asks for the image.
        if (options.nextImage !== undefined)
          this.#parts.slots.prepare(options.nextImage, this.#ending.signal).catch(() => {});
        return await running;
      } finally {
        this.#parts.slots.release(slot);
        await this.#clearStepFiles();
      }
    }, verdictMs);
  }

  async putFiles(files: readonly WorkspaceFile[], { signal }: Abortable): Promise<void> {
    using _ = this.#calls.begin("putFiles", ["running"]);
    await this.#explained(() => putGuestFiles(this.#parts.agent, files, this.#untilEnd(signal)));
  }

  async readFile(path: string, { maximumBytes, signal }: Abortable & { maximumBytes: number }): Promise<Buffer | null> {
    signal.throwIfAborted();
    using _ = this.#calls.begin("readFile", ["running", "stopped"]);
    const place = workspacePath(path);
    if (place === null || place.length === 0) return null;
    return await this.#explained(async () => {
      try {
        return await this.#parts.agent.readFile(place, { signal, maximumBytes });
      } catch (error) {
        if (error instanceof GuestCallError && error.code === "not-a-file") return null;
        throw error;
      }
    });
  }

  async removeFile(path: string, { signal }: Abortable): Promise<void> {
    signal.throwIfAborted();
    using _ = this.#calls.begin("removeFile", ["running"]);
    const place = workspacePath(path);
    if (place === null || place.length === 0) return;
    await this.#explained(async () => {
      try {
        await this.#parts.agent.removeFile(place, signal);
      } catch (error) {
        const isOther = error instanceof GuestCallError && ["not-found", "not-a-file"].includes(error.code);
        if (!isOther) throw error;
      }
    });
  }

  async *walk<State>(path: string, options: WalkOptions<State>): AsyncGenerator<TreeEntry<State>> {
    using _ = this.#calls.begin("walk", ["running", "stopped"]);
    const place = workspacePath(path);
    if (place === null) return;
    for await (const entry of walkGuestTree(this.#parts.agent, place, options)) {
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
    this.#ending.abort(runtimeFailed("the sandbox is disposed"));
    const { agent, release } = this.#parts;
    const hasStopped = await agent.stop(AbortSignal.timeout(stopMs)).then(
      () => true,
      () => false,
    );
    agent[Symbol.dispose]();
    await release(hasStopped);
  }

  #end(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    this.#ending.abort(runtimeFailed("the sandbox was stopped"));
    await this.#parts.agent.stop(new AbortController().signal);
  }

  /** A signal for work that the end of the sandbox or of its pod also ends. */
  #untilEnd(signal: AbortSignal): AbortSignal {
    return AbortSignal.any([signal, this.#ending.signal, this.#parts.ended]);
  }

  async #putStepFiles(files: readonly ReadOnlyFile[], signal: AbortSignal): Promise<void> {
    for (const { path, content, executable } of files) {
      const mode = executable ? 0o555 : 0o444;
      const file = { place: "step-files", path: Buffer.from(path), mode, modifiedAt: undefined } as const;
      await this.#parts.agent.putFile({ ...file, content: Buffer.from(content) }, signal);
    }
  }

  /** An agent that keeps the files of a step must not run another one, because they may be secrets. */
  async #clearStepFiles(): Promise<void> {
    const { agent } = this.#parts;
    try {
      await agent.clearStepFiles(AbortSignal.timeout(stopMs));
    } catch {
      agent[Symbol.dispose]();
    }
  }

  async #run(step: SandboxStep, slot: Slot, options: StepOptions): Promise<StepStatus> {
    try {
      return await runGuestStep(this.#parts.agent, this.#guestStep(step, slot), options);
    } catch (error) {
      const cannotExecute = error instanceof GuestCallError && error.message.includes("execve");
      if (cannotExecute) throw imageUnusable(step.image, "has no working /bin/sh", needsShell, error);
      throw error;
    }
  }

  #guestStep(step: SandboxStep, { index }: Slot): GuestStep {
    const { plan, processLimits, seccompFilter } = this.#parts;
    const atMost = (resource: number, value: number) => ({ resource, soft: BigInt(value), hard: BigInt(value) });
    return {
      image: index,
      argv: ["/bin/sh", step.script],
      env: step.env,
      workingDirectory: step.workingDirectory,
      // Everything else is part of the container's specification.
      uid: 0,
      gid: 0,
      groups: [],
      hostname: "pod",
      capabilities: [],
      noNewPrivileges: true,
      ownNetwork: false,
      readOnlyRoot: false,
      userNamespace: false,
      readOnlySys: false,
      maskedPaths: [],
      readOnlyPaths: [],
      etc: {},
      directories: [],
      ports: (plan.services ?? []).map(({ port }) => port),
      seccompFilter,
      limits: [
        atMost(rlimitCore, 0),
        atMost(rlimitOpenFiles, processLimits.maxOpenFiles),
        atMost(rlimitPendingSignals, processLimits.pendingSignals),
        atMost(rlimitMessageQueue, processLimits.messageQueueBytes),
      ],
      memoryBytes: plan.limits.memoryBytes,
      pids: plan.limits.pids,
      cpuMicros: Math.round(plan.limits.cpus * 100_000),
      shmBytes: 0,
      upperBytes: null,
      docker: false,
    };
  }

  #admit(image: string): void {
    refuseHostImage(image);
    admitImage(image, this.#parts.images);
    const problem = credentialsProblem(image, this.#parts.plan.registryAuth);
    if (problem) throw problem;
  }

  /** @param waitMs How long to wait for news of the pod if the work fails for an unknown reason. */
  async #explained<T>(work: () => Promise<T>, waitMs = 0): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const failure = error instanceof GuestCallError ? runtimeFailed(error.message, error) : error;
      if (!(failure instanceof AirlockError) || failure.reason !== "runtime") throw failure;
      const { ended } = this.#parts;
      if (waitMs > 0) await pause(waitMs, AbortSignal.any([ended, this.#ending.signal]));
      if (this.#ending.signal.aborted) throw this.#ending.signal.reason;
      throw ended.aborted ? ended.reason : failure;
    }
  }
}

function refuseHostImage(image: string): void {
  if (image !== hostImageName) return;
  throw refusedByPolicy(
    'the image "host" is not available in Kubernetes',
    "Name an image with the tools that the step needs.",
  );
}

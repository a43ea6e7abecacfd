import { AirlockError, formatBytes } from "@airlock/job";
import { abandonable } from "../contract/abandonable.ts";
import { checkEnvironment } from "../contract/check-environment.ts";
import { shmSize } from "../contract/check-limits.ts";
import { checkStep } from "../contract/check-step.ts";
import { imageUnusable, memoryTooSmall } from "../contract/errors.ts";
import {
  type Abortable,
  type NetworkTraffic,
  runtimeFailed,
  type Sandbox,
  SandboxCalls,
  type SandboxPlan,
  type SandboxStep,
  type SandboxUsage,
  type StepOptions,
  type StepStatus,
  type TreeEntry,
  type WalkOptions,
  type WorkspaceFile,
} from "../contract/index.ts";
import { stepEnvironment } from "../images/step-environment.ts";
import { etcFiles } from "../isolation/etc-files.ts";
import type { Hardening } from "../isolation/hardening.ts";
import { hiddenPaths } from "../isolation/hidden-paths.ts";
import type { ProcessLimits } from "../isolation/process-limits.ts";
import type { ImageDisk } from "./disks/image-disks.ts";
import { dockerHost, withDockerClient } from "./docker/start-docker.ts";
import { capabilityNumber } from "./guest/capability-numbers.ts";
import type { GuestAgent } from "./guest/guest-agent.ts";
import { GuestCallError } from "./guest/guest-call-error.ts";
import { runGuestStep } from "./guest/run-guest-step.ts";
import { guestStepFilter } from "./guest/seccomp/guest-step-filter.ts";
import type { GuestStep } from "./guest/step-spec.ts";
import { walkGuestTree } from "./guest/walk-guest-tree.ts";
import { asGuestRoot, type GuestStartup, startupStep } from "./guest-startup.ts";
import { lastWords } from "./last-words.ts";
import type { RunningVm } from "./monitor/vm-monitor.ts";
import { type MountedImage, MountedImages } from "./mounted-images.ts";
import { putGuestFiles, workspacePath } from "./put-guest-files.ts";

export interface MicrovmSandboxParts {
  readonly plan: SandboxPlan;
  readonly vm: RunningVm;
  /** The guest's agent. The workspace is mounted and has its files. */
  readonly agent: GuestAgent;
  /** The guest's empty disk slots. */
  readonly imageSlots: readonly number[];
  readonly notes: readonly string[];
  /** Makes sure that the image's disk is on this host, until the sandbox is released. */
  readonly openImage: (image: string, options: Parameters<Sandbox["prepareImage"]>[1]) => Promise<ImageDisk>;
  readonly hardening: Hardening;
  readonly processLimits: ProcessLimits;
  /** Limits of each step's cgroup in the guest; 0: none. The machine's own limits protect the host. */
  readonly limits: StepLimits;
  /** Content of `/etc/resolv.conf`. */
  readonly resolvConf: string;
  /** Whether the guest runs a Docker daemon. Default: false. */
  readonly docker?: boolean;
  /** From `guestStepFilter`. */
  readonly seccompFilter: Buffer;
  /** What {@link Sandbox.startup} runs; `null`: nothing. */
  readonly startup: GuestStartup | null;
  /** Processor time of the machine so far, in ms. `undefined`: this host does not count it. */
  readonly cpuMs: () => number | undefined;
  readonly traffic: () => NetworkTraffic | undefined;
  /** Reports what the egress policy denied during a step. */
  readonly reportDenied: () => Promise<void>;
  /** Gives back everything on this host. Called when the machine has ended. Safe to call again after a failure. */
  readonly release: () => Promise<void>;
}

interface StepLimits {
  /** Number of cores. */
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly pids: number;
}

/** The kernel's numbers of resource limits, from asm-generic/resource.h. */
const [rlimitCore, rlimitOpenFiles, rlimitPendingSignals, rlimitMessageQueue] = [4, 7, 11, 12] as const;
/** The share of the disk below which it counts as full. A large write fails as a whole if it does not fit. */
const fullFraction = 0.005;
const maxFullBytes = 4 * 2 ** 20;

const needsShell = "Steps are shell scripts: use an image with a shell that its user may run.";

/** A job's sandbox: one virtual machine that runs its steps, one after the other. */
export class MicrovmSandbox implements Sandbox {
  readonly id: string;
  readonly notes: readonly string[];
  readonly startup?: NonNullable<Sandbox["startup"]>;
  readonly #parts: MicrovmSandboxParts;
  readonly #calls = new SandboxCalls();
  readonly #images: MountedImages;
  readonly #byName = new Map<string, ImageDisk>();
  readonly #ending = new AbortController();
  #stopping: Promise<void> | undefined;
  #disposing: Promise<void> | undefined;

  constructor(parts: MicrovmSandboxParts) {
    this.#parts = parts;
    this.id = parts.plan.id;
    this.notes = parts.notes;
    this.#images = new MountedImages(parts.vm, parts.agent, parts.imageSlots);
    const { startup } = parts;
    if (startup) this.startup = (options) => this.#runAs(startupStep(startup), options, asStartup);
  }

  async prepareImage(image: string, options: Parameters<Sandbox["prepareImage"]>[1]): Promise<void> {
    this.#calls.require("prepareImage", ["running"]);
    const signal = this.#untilEnd(options.signal);
    await this.#explained(async () => {
      const disk = await this.#parts.openImage(image, { ...options, signal });
      await this.#images.mount(disk, signal);
      this.#byName.set(image, disk);
    });
  }

  async runStep(step: SandboxStep, options: StepOptions): Promise<StepStatus> {
    return await this.#runAs(step, options, (guestStep) => guestStep);
  }

  /** The host counts processor time and traffic. Of memory and disk, only the guest knows what it uses. */
  async usage({ signal }: Abortable): Promise<SandboxUsage> {
    this.#calls.require("usage", ["running"]);
    const { agent, cpuMs, traffic } = this.#parts;
    const stats = await agent.stats(this.#untilEnd(signal));
    return {
      cpuMs: cpuMs(),
      memoryBytes: Math.max(0, stats.memoryBytes - stats.freeMemoryBytes),
      diskBytes: Math.max(0, stats.diskBytes - stats.freeDiskBytes),
      network: traffic(),
    };
  }

  async #runAs(step: SandboxStep, options: StepOptions, change: (step: GuestStep) => GuestStep): Promise<StepStatus> {
    options.signal.throwIfAborted();
    using _ = this.#calls.begin("runStep", ["running"]);
    checkStep(step);
    checkEnvironment(step.env);
    const { agent, reportDenied } = this.#parts;
    const signal = this.#untilEnd(options.signal);
    return await this.#explained(async () => {
      const disk = this.#byName.get(step.image);
      if (!disk) await this.prepareImage(step.image, { signal, progress: () => {} });
      const image = await this.#images.mount(disk ?? this.#prepared(step.image), signal);
      try {
        for (const { path, content, executable } of step.files) {
          const bytes = Buffer.from(content);
          const mode = executable ? 0o555 : 0o444;
          const place = "step-files";
          await agent.putFile({ place, path: Buffer.from(path), mode, modifiedAt: undefined, content: bytes }, signal);
        }
        const status = await this.#run(step, image, { ...options, signal }, change);
        return await this.#withNotes(status);
      } finally {
        await this.#clearStepFiles();
        await reportDenied();
      }
    });
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
    const { agent, vm, release } = this.#parts;
    this.#ending.abort(runtimeFailed("the sandbox is disposed"));
    agent[Symbol.dispose]();
    await vm[Symbol.asyncDispose]();
    await release();
  }

  #end(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    this.#ending.abort(runtimeFailed("the sandbox was stopped"));
    try {
      // The agent's silence is bounded by its connection.
      await this.#parts.agent.stop(new AbortController().signal);
    } catch (error) {
      // No process of the job may go on, even if nobody can read its results then.
      await this.#parts.vm[Symbol.asyncDispose]();
      throw error instanceof AirlockError ? await this.#withLastWords(error) : error;
    }
  }

  /** A signal for work that the end of the sandbox also ends. */
  #untilEnd(signal: AbortSignal): AbortSignal {
    return AbortSignal.any([signal, this.#ending.signal]);
  }

  #prepared(image: string): ImageDisk {
    const disk = this.#byName.get(image);
    if (!disk) throw runtimeFailed(`the image ${JSON.stringify(image)} was not prepared`);
    return disk;
  }

  /** A guest that keeps the files of a step must not run another one, because they may be secrets. */
  async #clearStepFiles(): Promise<void> {
    const { agent } = this.#parts;
    try {
      await agent.clearStepFiles(this.#ending.signal);
    } catch {
      agent[Symbol.dispose]();
    }
  }

  async #run(
    step: SandboxStep,
    image: MountedImage,
    options: StepOptions,
    change: (step: GuestStep) => GuestStep,
  ): Promise<StepStatus> {
    try {
      return await runGuestStep(this.#parts.agent, change(this.#guestStep(step, image)), options);
    } catch (error) {
      if (!(error instanceof GuestCallError)) throw error;
      if (error.code === "not-executable") throw imageUnusable(step.image, "has no working /bin/sh", needsShell, error);
      if (error.code === "out-of-memory") throw memoryTooSmall(step.image, this.#parts.plan.limits.memoryBytes);
      throw error;
    }
  }

  #guestStep(step: SandboxStep, { index, user, env }: MountedImage): GuestStep {
    const { plan, limits, hardening, processLimits, resolvConf, docker = false, seccompFilter } = this.#parts;
    const hostname = plan.id.slice(0, 63);
    const imageEnv = docker ? [...env, dockerHost] : env;
    const variables = variablesOf(stepEnvironment({ env: imageEnv, user }, step.env));
    const atMost = (resource: number, value: number) => ({ resource, soft: BigInt(value), hard: BigInt(value) });
    return {
      image: index,
      argv: ["/bin/sh", step.script],
      env: docker ? withDockerClient(variables) : variables,
      workingDirectory: step.workingDirectory,
      uid: user.uid,
      gid: user.gid,
      groups: user.additionalGids,
      hostname,
      capabilities: hardening.capabilities.map(capabilityNumber),
      noNewPrivileges: hardening.noNewPrivileges,
      // Ports of containers are in the guest's network, which has no device then.
      ownNetwork: plan.egress.kind === "none" && !docker,
      readOnlyRoot: hardening.readOnlyRoot,
      userNamespace: hardening.userNamespace,
      readOnlySys: hardening.maskedPaths,
      maskedPaths: hardening.maskedPaths ? hiddenPaths.maskedPaths : [],
      readOnlyPaths: hardening.maskedPaths ? hiddenPaths.readonlyPaths : [],
      etc: etcFiles(hostname, resolvConf),
      directories: [],
      ports: (plan.services ?? []).map(({ port }) => port),
      seccompFilter,
      limits: [
        atMost(rlimitCore, 0),
        atMost(rlimitOpenFiles, processLimits.maxOpenFiles),
        atMost(rlimitPendingSignals, processLimits.pendingSignals),
        atMost(rlimitMessageQueue, processLimits.messageQueueBytes),
      ],
      memoryBytes: limits.memoryBytes,
      pids: limits.pids,
      cpuMicros: Math.round(limits.cpus * 100_000),
      shmBytes: shmSize(plan.limits),
      // One limit covers the workspace and what steps write elsewhere.
      upperBytes: null,
      docker,
    };
  }

  /** Adds a note when the disk is full, because the kernel tells only the process that writes. */
  async #withNotes(status: StepStatus): Promise<StepStatus> {
    const { agent, plan } = this.#parts;
    const { diskBytes, freeDiskBytes } = await agent.stats(this.#ending.signal);
    if (freeDiskBytes > Math.max(diskBytes * fullFraction, Math.min(diskBytes / 10, maxFullBytes))) return status;
    const limit = formatBytes(plan.limits.diskBytes ?? diskBytes);
    const problem = `the job's disk is full: its limit is ${limit} for the workspace and what steps write elsewhere (resources.disk)`;
    return { ...status, notes: [...(status.notes ?? []), problem], causes: [...(status.causes ?? []), problem] };
  }

  async #explained<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw await this.#explanation(error);
    }
  }

  /** The error to throw: the end of the sandbox, or the last words of a machine that has ended, explain others. */
  async #explanation(error: unknown): Promise<unknown> {
    const { signal } = this.#ending;
    if (error instanceof GuestCallError) return runtimeFailed(error.message, error);
    if (!(error instanceof AirlockError) || error.reason !== "runtime") return error;
    return signal.aborted ? signal.reason : await this.#withLastWords(error);
  }

  async #withLastWords(error: AirlockError): Promise<AirlockError> {
    const end = await Promise.race([this.#parts.vm.ended, soon()]);
    if (end === null) return error;
    const words = [end.cause, lastWords(end.console)].filter(Boolean).join("\n");
    return runtimeFailed(`the job's virtual machine ended${words === "" ? "" : `: ${words}`}`, error);
  }
}

function asStartup(step: GuestStep): GuestStep {
  return asGuestRoot(step, guestStepFilter({ cpu: "x64", allowListed: false }));
}

/** How long a monitor may take to end after its guest closed the stream. */
const endMs = 2_000;

function soon(): Promise<null> {
  return new Promise((resolve) => setTimeout(() => resolve(null), endMs));
}

function variablesOf(variables: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    variables.map((variable) => {
      const equals = variable.indexOf("=");
      return [variable.slice(0, equals), variable.slice(equals + 1)];
    }),
  );
}

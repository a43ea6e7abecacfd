import { setTimeout as sleep } from "node:timers/promises";
import type { Abortable, Sandbox, SandboxPlan, SandboxStep, StepOutput, StepStatus } from "../contract.ts";
import { refusedByPolicy, runtimeFailed } from "../errors.ts";
import { hostImageName } from "../oci/host-image.ts";
import type { EngineClient } from "./engine-client.ts";
import { asRuntimeFailure } from "./engine-failure.ts";
import { ensureHostImage } from "./host-image.ts";
import { checkImageConfig } from "./image-config.ts";
import { ensureImage, type PullOptions } from "./pull-image.ts";
import type { SandboxNetwork } from "./sandbox-network.ts";
import { StepContainer } from "./step-container.ts";

export interface DockerSandboxOptions {
  readonly plan: SandboxPlan;
  readonly allowHostImage: boolean;
  readonly machineCpus: number;
  /** The sandbox's to dispose. */
  readonly network: SandboxNetwork;
}

const startTimeoutMs = 30_000;

/** An image that was checked, and what its container is made with. */
interface PreparedImage {
  readonly imageId: string;
  readonly user: string;
  readonly readOnlyPaths: readonly string[];
}

/**
 * One container for each image, in one network namespace; a step is an exec. The limits hold for each container. As one
 * step runs at a time and nothing of it is left afterwards, the containers of other images add no more than what they
 * keep in memory file systems.
 */
export class DockerSandbox implements Sandbox {
  readonly #engine: EngineClient;
  readonly #options: DockerSandboxOptions;
  readonly #containers = new Map<string, StepContainer>();
  #serial: Promise<unknown> = Promise.resolve();
  #made = 0;
  #disposing: Promise<void> | undefined;

  constructor(engine: EngineClient, options: DockerSandboxOptions) {
    this.#engine = engine;
    this.#options = options;
  }

  get id(): string {
    return this.#options.plan.id;
  }

  async prepareImage(image: string, options: PullOptions): Promise<void> {
    await asRuntimeFailure(() => this.#container(image, options));
  }

  async runStep(step: SandboxStep, options: Abortable & { readonly output: StepOutput }): Promise<StepStatus> {
    return asRuntimeFailure(async () => {
      const container = await this.#container(step.image, { signal: options.signal, progress: () => {} });
      try {
        return await container.runStep(step, options);
      } finally {
        await this.#options.network.reportDenied();
      }
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#disposing ??= this.#dispose();
    return this.#disposing;
  }

  async #dispose(): Promise<void> {
    // A container that is being made right now is removed by whoever makes it, if it takes longer than this.
    await Promise.race([this.#serial.catch(() => {}), sleep(startTimeoutMs, undefined, { ref: false })]);
    const removals = [...this.#containers.values()].map((container) => container[Symbol.asyncDispose]());
    const failed = (await Promise.allSettled(removals)).find((each) => each.status === "rejected");
    if (failed) throw runtimeFailed("a container could not be removed", failed.reason);
    await asRuntimeFailure(async () => this.#options.network[Symbol.asyncDispose]());
  }

  async #container(image: string, options: PullOptions): Promise<StepContainer> {
    options.signal.throwIfAborted();
    const present = this.#containers.get(image);
    if (present?.isAlive) return present;
    const prepared = await this.#prepare(image, options);
    options.signal.throwIfAborted();
    // One after the other: the next one joins the network of those before.
    const made = this.#serial.catch(() => {}).then(() => this.#start(image, prepared));
    this.#serial = made;
    const container = await made;
    options.signal.throwIfAborted();
    return container;
  }

  async #start(image: string, prepared: PreparedImage): Promise<StepContainer> {
    if (this.#disposing) throw runtimeFailed("the sandbox is disposed");
    const alive = [...this.#containers.values()].filter((container) => container.isAlive);
    const present = this.#containers.get(image);
    if (present?.isAlive) return present;
    await present?.[Symbol.asyncDispose]();
    const { plan, machineCpus, network } = this.#options;
    this.#made += 1;
    const container = await StepContainer.start(this.#engine, {
      name: `airlock-${plan.owner}-${plan.id}-${this.#made}`,
      sandbox: plan,
      image,
      machineCpus,
      networkMode: alive[0] ? `container:${alive[0].id}` : network.mode,
      nameServers: alive[0] ? [] : network.nameServers,
      ...prepared,
    });
    if (this.#disposing) {
      await container[Symbol.asyncDispose]();
      throw runtimeFailed("the sandbox is disposed");
    }
    this.#containers.set(image, container);
    return container;
  }

  async #prepare(image: string, options: PullOptions): Promise<PreparedImage> {
    if (image === hostImageName) return this.#prepareHost(options);
    const { registryAuth } = this.#options.plan;
    const found = await ensureImage(this.#engine, image, { ...options, registryAuth });
    checkImageConfig(image, found);
    return { imageId: found.Id, user: found.Config?.User || "0:0", readOnlyPaths: [] };
  }

  async #prepareHost(options: PullOptions): Promise<PreparedImage> {
    if (!this.#options.allowHostImage) {
      throw refusedByPolicy(
        'the image name "host" is not allowed here',
        "Name a container image, or let this executor's administrator allow it.",
      );
    }
    if (!this.#engine.isLocal) {
      throw refusedByPolicy(
        'the image "host" needs a Docker engine on this machine',
        "Name a container image, or give this executor the engine's Unix socket.",
      );
    }
    const { image, readOnlyPaths } = await ensureHostImage(this.#engine, options);
    return { imageId: image.Id, user: "0:0", readOnlyPaths };
  }
}

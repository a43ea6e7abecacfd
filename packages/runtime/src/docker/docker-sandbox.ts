import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { checkEnvironment } from "../contract/check-environment.ts";
import { checkStep } from "../contract/check-step.ts";
import type { Abortable, SandboxPlan, SandboxStep, SandboxUsage, StepOptions, StepStatus } from "../contract/index.ts";
import { refusedByPolicy, runtimeFailed } from "../contract/index.ts";
import { hostImageName } from "../host/host-root.ts";
import type { NetworkCalls } from "../host/network-calls.ts";
import type { StepRunner } from "../host-disk/host-disk-sandbox.ts";
import type { HostWorkspace } from "../host-disk/host-workspace.ts";
import { checkDeclaredPlaces, declaredPlaces, isWorkspace } from "../images/places/declared-places.ts";
import { checkImagePlaces } from "../images/places/image-places.ts";
import { handOverWorkspace } from "../isolation/hand-over-workspace.ts";
import type { Hardening } from "../isolation/hardening.ts";
import type { ProcessLimits } from "../isolation/process-limits.ts";
import type { ServiceListeners } from "../services/service-listeners.ts";
import type { ContainerOverhead } from "./container-spec.ts";
import type { EngineClient } from "./engine-client.ts";
import type { EngineFacts } from "./engine-facts.ts";
import { asRuntimeFailure } from "./engine-failure.ts";
import type { EngineImages, EnsureOptions } from "./engine-images.ts";
import { ensureHostImage } from "./host-image.ts";
import { volumeMounts } from "./image-volumes.ts";
import { listenInContainer } from "./listen-in-container.ts";
import { makeOwnFiles } from "./own-files.ts";
import { SandboxDisk } from "./sandbox-disk.ts";
import type { SandboxNetwork } from "./sandbox-network.ts";
import type { SharedCgroup } from "./shared-cgroup.ts";
import { StepContainer, type StepContainerOptions } from "./step-container.ts";
import { visibleLayers } from "./visible-layers.ts";
import type { UserIds } from "./workspace-user.ts";

export interface DockerSandboxOptions {
  readonly plan: SandboxPlan;
  readonly workspace: HostWorkspace;
  readonly allowHostImage: boolean;
  readonly facts: EngineFacts;
  readonly images: EngineImages;
  readonly hardening: Hardening;
  readonly ociRuntime: string | undefined;
  readonly addHostGateway: boolean;
  readonly overhead: ContainerOverhead;
  readonly processLimits: ProcessLimits;
  /** Whether the engine's file system can limit the size of a container's layer. */
  readonly boundsLayers: boolean;
  /** Owned by the sandbox, which disposes of it. */
  readonly network: SandboxNetwork;
  /** Owned by the sandbox, which disposes of it. `undefined` if its containers can't share one. */
  readonly cgroup: SharedCgroup | undefined;
  /** How to listen in the containers' network; `null` if the plan has no services. */
  readonly networkCalls: NetworkCalls | null;
  /** Called when it turns out that the engine puts its containers elsewhere. */
  readonly onCgroupOutOfReach: () => void;
}

const startTimeoutMs = 30_000;

/** A checked image, and what its container is created with. */
interface PreparedImage {
  readonly imageId: string;
  readonly user: string;
  readonly readOnlyPaths: readonly string[];
  /** Paths that the image declares as volumes. */
  readonly volumes: readonly string[];
}

interface ContainerNetwork {
  readonly networkMode: string;
  readonly nameServers: readonly string[];
}

const root: UserIds = { uid: 0, gid: 0 };

/**
 * A sandbox with one container per image. All containers share one network namespace and one parent cgroup, and each
 * step is an exec.
 * Where they can't share a cgroup, the limits apply to each container. Only one step runs at a time, and none of its
 * processes survive it. So the other containers use no more than what they keep in memory file systems.
 */
export class DockerSandbox implements StepRunner {
  readonly #engine: EngineClient;
  readonly #options: DockerSandboxOptions;
  readonly #containers = new Map<string, StepContainer>();
  readonly #disk: SandboxDisk;
  #cgroup: SharedCgroup | undefined;
  /** Owner of the workspace, in the container's user ids. */
  #workspaceUser = root;
  #serial: Promise<unknown> = Promise.resolve();
  #made = 0;
  /** Those in the network that the living containers share. */
  #services: ServiceListeners | undefined;
  #ownFiles: Promise<ReadonlyMap<string, string>> | undefined;
  #disposing: Promise<void> | undefined;

  constructor(engine: EngineClient, options: DockerSandboxOptions) {
    this.#engine = engine;
    this.#options = options;
    this.#cgroup = options.cgroup;
    const processes = async () => (await this.#cgroup?.processes()) ?? [];
    this.#disk = new SandboxDisk(engine, { limits: options.plan.limits, workspace: options.workspace, processes });
  }

  async prepareImage(image: string, options: EnsureOptions): Promise<void> {
    await asRuntimeFailure(() => this.#container(image, options));
  }

  async runStep(step: SandboxStep, options: StepOptions): Promise<StepStatus> {
    checkEnvironment(step.env);
    return asRuntimeFailure(async () => {
      checkStep(step);
      const container = await this.#container(step.image, { signal: options.signal, progress: () => {} });
      await this.#handOver(container, options);
      try {
        return await this.#disk.during((kill) => container.runStep(step, { ...options, kill }));
      } finally {
        await this.#options.network.reportDenied();
      }
    });
  }

  usage(): SandboxUsage {
    return { ...this.#cgroup?.usage(), network: this.#options.network.traffic() };
  }

  end(): Promise<void> {
    // Allow another attempt after a failure.
    this.#disposing ??= this.#dispose().catch((error: unknown) => {
      this.#disposing = undefined;
      throw error;
    });
    return this.#disposing;
  }

  async #dispose(): Promise<void> {
    // Wait for a container that is just being created. If it takes longer than this, its creator removes it.
    await Promise.race([this.#serial.catch(() => {}), sleep(startTimeoutMs, undefined, { ref: false })]);
    await this.#services?.[Symbol.asyncDispose]();
    const removals = [...this.#containers.values()].map((container) => container[Symbol.asyncDispose]());
    const settled = await Promise.allSettled(removals);
    // Needed even if the engine is gone: then only this ends the job's processes.
    settled.push(...(await Promise.allSettled([this.#options.cgroup?.[Symbol.asyncDispose]()])));
    const failed = settled.find((each) => each.status === "rejected");
    if (failed) throw runtimeFailed("a container could not be removed", failed.reason);
    await asRuntimeFailure(async () => this.#options.network[Symbol.asyncDispose]());
  }

  async #container(image: string, options: EnsureOptions): Promise<StepContainer> {
    options.signal.throwIfAborted();
    const present = this.#containers.get(image);
    if (present?.isAlive) return present;
    const prepared = await this.#prepare(image, options);
    options.signal.throwIfAborted();
    // Start containers one at a time, because each joins the network of the first one.
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
    const first = alive[0];
    await this.#cgroup?.admit(alive.length + 1);
    const container = await this.#make(image, {
      ...prepared,
      networkMode: first ? `container:${first.id}` : this.#options.network.mode,
      nameServers: first ? [] : this.#options.network.nameServers,
    });
    if (!first) await this.#listen(container);
    if (this.#disposing) {
      await container[Symbol.asyncDispose]();
      throw runtimeFailed("the sandbox is disposed");
    }
    this.#containers.set(image, container);
    await this.#disk.add(container.id);
    return container;
  }

  /** Listens in the network of the sandbox's only container. A network of earlier containers went with them. */
  async #listen(container: StepContainer): Promise<void> {
    const { networkCalls: calls, plan } = this.#options;
    if (calls === null) return;
    await this.#services?.[Symbol.asyncDispose]();
    try {
      this.#services = await listenInContainer(container.id, { calls, services: plan.services ?? [] });
    } catch (error) {
      await container[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #make(image: string, parts: PreparedImage & ContainerNetwork): Promise<StepContainer> {
    const container = await StepContainer.start(this.#engine, await this.#containerOptions(image, parts));
    if (!this.#cgroup) return container;
    if (await this.#cgroup.holdsProcesses()) {
      await this.#cgroup.countSocketBuffers(container.id);
      return container;
    }
    this.#options.onCgroupOutOfReach();
    this.#cgroup = undefined;
    await container[Symbol.asyncDispose]();
    return StepContainer.start(this.#engine, await this.#containerOptions(image, parts));
  }

  async #containerOptions(image: string, parts: PreparedImage & ContainerNetwork): Promise<StepContainerOptions> {
    const { plan, workspace, facts, hardening, ociRuntime, addHostGateway, overhead, processLimits, boundsLayers } =
      this.#options;
    const { volumesDir } = this.#disk;
    this.#ownFiles ??= this.#makeOwnFiles();
    this.#made += 1;
    const name = `airlock-${plan.owner}-${plan.id}-${this.#made}`;
    return {
      ...{
        ...parts,
        name,
        image,
        sandbox: plan,
        workspace,
        facts,
        hardening,
        ociRuntime,
        addHostGateway,
        overhead,
        processLimits,
      },
      ownFiles: await this.#ownFiles,
      volumes: volumesDir === undefined ? [] : await volumeMounts(parts.volumes, name, volumesDir),
      cgroup: this.#cgroup,
      layerBytes: boundsLayers ? plan.limits.diskBytes : undefined,
    };
  }

  async #makeOwnFiles(): Promise<ReadonlyMap<string, string>> {
    const { plan, workspace, network, addHostGateway } = this.#options;
    const dir = join(workspace.besideDir, "etc");
    const files = await makeOwnFiles({
      dir,
      nameServers: network.nameServers,
      owner: process.geteuid?.() === 0 ? this.#remappedRoot() : null,
      // Only the engine knows the address of `host.docker.internal`.
      engineWritesHosts: addHostGateway && plan.egress.kind !== "none",
    });
    this.#disk.addDirectory(dir);
    return files;
  }

  /** Root of a container, in ids of the engine's machine. */
  #remappedRoot(): UserIds {
    const { facts, hardening } = this.#options;
    return hardening.userNamespace ? (facts.remappedRoot ?? root) : root;
  }

  /**
   * Changes the owner of the workspace to the image's user. Root could write to it anyway, but programs such as git
   * refuse to work in another user's directory.
   */
  async #handOver(container: StepContainer, options: Abortable): Promise<void> {
    const user = await container.userIds(options);
    if (user.uid === this.#workspaceUser.uid && user.gid === this.#workspaceUser.gid) return;
    const { workspace } = this.#options;
    if (this.#engine.isLocal && process.geteuid?.() === 0) {
      const base = this.#remappedRoot();
      const owner = { uid: base.uid + user.uid, gid: base.gid + user.gid };
      await handOverWorkspace(workspace.dir, owner, options);
    } else {
      await container.giveWorkspace(user, options);
    }
    this.#workspaceUser = user;
  }

  async #prepare(image: string, options: EnsureOptions): Promise<PreparedImage> {
    if (image === hostImageName) return this.#prepareHost(options);
    const { registryAuth } = this.#options.plan;
    const { images, facts } = this.#options;
    const found = await images.ensure(image, facts.imageArchitecture, { ...options, registryAuth });
    const declared = declaredPlaces(found.Config);
    checkDeclaredPlaces(image, declared);
    const layers = await visibleLayers(this.#engine, found);
    if (layers) await checkImagePlaces(image, layers);
    const volumes = declared.volumes.filter((volume) => !isWorkspace(volume));
    return { imageId: found.Id, user: found.Config?.User || "0:0", readOnlyPaths: [], volumes };
  }

  async #prepareHost(options: Abortable): Promise<PreparedImage> {
    if (!this.#options.allowHostImage) {
      throw refusedByPolicy(
        'this executor does not allow the image name "host"',
        "Use a container image, or ask this executor's administrator to allow it.",
      );
    }
    if (!this.#engine.isLocal) {
      throw refusedByPolicy(
        'the image "host" needs a Docker engine on this machine',
        "Use a container image, or give this executor the engine's Unix socket.",
      );
    }
    this.#options.images.admitHost();
    const { image, readOnlyPaths } = await ensureHostImage(this.#engine, options);
    return { imageId: image.Id, user: "0:0", readOnlyPaths, volumes: [] };
  }
}

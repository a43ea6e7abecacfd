import { join } from "node:path";
import type { AirlockError } from "@airlock/job";
import { checkLimits } from "../contract/check-limits.ts";
import type {
  Abortable,
  Collected,
  FileOwner,
  Runtime,
  RuntimeDescription,
  Sandbox,
  SandboxPlan,
} from "../contract/index.ts";
import {
  refuseDocker,
  refusedByPolicy,
  refuseServices,
  refuseUnenforcedLimits,
  runtimeFailed,
  type UnenforcedLimits,
} from "../contract/index.ts";
import { EgressEngines, type EgressOptions } from "../egress/index.ts";
import { type CgroupHost, findCgroupHost } from "../host/cgroups/cgroup-host.ts";
import { loadNetworkCalls, type NetworkCalls } from "../host/network-calls.ts";
import { HostDiskSandbox } from "../host-disk/host-disk-sandbox.ts";
import { HostWorkspaces, type WorkspaceOptions } from "../host-disk/host-workspaces.ts";
import { defaultImageOptions, type ImageOptions } from "../images/policy/image-options.ts";
import { defaultHardening, type Hardening } from "../isolation/hardening.ts";
import { processLimits } from "../isolation/process-limits.ts";
import { collectSandboxes } from "./collect-sandboxes.ts";
import { plainOverhead, userSpaceKernelOverhead } from "./container-spec.ts";
import { describeEngine } from "./describe-engine.ts";
import { DockerSandbox } from "./docker-sandbox.ts";
import { EngineClient } from "./engine-client.ts";
import { type EngineFacts, engineFacts } from "./engine-facts.ts";
import { asRuntimeFailure } from "./engine-failure.ts";
import { EngineImages } from "./engine-images.ts";
import { InfoReply, type VersionReply } from "./engine-replies.ts";
import { findsHostFile } from "./probe-host-file.ts";
import { boundsLayers } from "./probe-layer-bound.ts";
import { PulledImages } from "./pulled-images.ts";
import { isInReach, openNetwork } from "./sandbox-network.ts";
import { SharedCgroup } from "./shared-cgroup.ts";

export interface DockerRuntimeOptions {
  /** `unix:///path` or `tcp://host:port`. Default: `unix:///var/run/docker.sock`. */
  readonly host?: string;
  /** Whether jobs may use the image name `host`: the host's own tool chain, read-only. */
  readonly allowHostImage: boolean;
  /** How egress policies are enforced: addresses, name servers, destinations that are always closed. */
  readonly egress?: EgressOptions;
  /** Overrides that weaken `defaultHardening`. Default: none. */
  readonly hardening?: Partial<Hardening>;
  /** The engine's name for an OCI runtime, e.g. `runsc`. Default: the engine's own default. */
  readonly runtime?: string;
  /**
   * Whether steps with a network resolve `host.docker.internal` to the engine's machine. Jobs still can't reach it: the
   * machine is closed to sandboxes, whatever their egress policy. Default: false.
   */
  readonly addHostGateway?: boolean;
  /** What happens to sandboxes whose limits the engine can't enforce. Default: `refuse`. */
  readonly unenforcedLimits?: UnenforcedLimits;
  /** Which images may be used, and how they are pulled. The engine has to trust the mirrors. */
  readonly images?: Partial<ImageOptions>;
  /** Where workspaces are created. The engine has to see the directory at the same path. */
  readonly workspaces: WorkspaceOptions;
  /**
   * Absolute path of a directory for the record of pulled images. Default: no record is kept, and no image is ever
   * removed.
   */
  readonly stateDir?: string;
}

export const defaultDockerHost = "unix:///var/run/docker.sock";

/**
 * Creates a runtime on a Docker engine, 20.10 or later. It connects on first use.
 * @throws {AirlockError} when `host` is not an address.
 */
export function createDockerRuntime(options: DockerRuntimeOptions): Runtime {
  return new DockerRuntime(options);
}

interface Inspected {
  readonly version: VersionReply;
  readonly info: InfoReply;
  readonly facts: EngineFacts;
  readonly at: number;
}

/**
 * How long facts about the engine are kept. They change only when it restarts, and asking takes a tenth of a
 * container's start time.
 */
const factsAgeMs = 10_000;
/** An engine that needs longer would also fail a job. */
const pingTimeoutMs = 5000;

class DockerRuntime implements Runtime {
  readonly name = "docker";
  readonly #engine: EngineClient;
  readonly #engines: EgressEngines;
  readonly #options: DockerRuntimeOptions;
  readonly #images: EngineImages;
  readonly #hardening: Hardening;
  readonly #workspaces: HostWorkspaces;
  #wasInReach = false;
  #inspected: Inspected | undefined;
  #cgroupHost: Promise<CgroupHost> | undefined;
  #cgroupOutOfReach = false;
  #boundsLayers: Promise<boolean> | undefined;

  constructor(options: DockerRuntimeOptions) {
    this.#engine = new EngineClient({ host: options.host ?? defaultDockerHost });
    this.#engines = new EgressEngines(options.egress ?? {});
    this.#options = options;
    const { stateDir } = options;
    const pulled = stateDir === undefined ? null : new PulledImages(join(stateDir, "docker", "pulled-images.json"));
    this.#images = new EngineImages(this.#engine, { ...defaultImageOptions, ...options.images }, pulled);
    this.#hardening = { ...defaultHardening, ...options.hardening };
    this.#workspaces = new HostWorkspaces({
      ...options.workspaces,
      findsHostFile: (file, signal) => findsHostFile(this.#engine, file, { signal }),
    });
  }

  describe({ signal }: Abortable): Promise<RuntimeDescription> {
    return asRuntimeFailure(async () => {
      const { version, info, facts } = await this.#inspect(signal);
      const calls = await this.#networkCalls(facts);
      const description = describeEngine(version, info, {
        egress: await this.#inspectEgress(signal),
        sharesCgroup: (await this.#sharedCgroupHost(facts)) !== undefined,
        boundsLayers: await this.#layersAreBounded(signal),
        ...{ hardening: this.#hardening, ociRuntime: this.#options.runtime, isRoot: process.geteuid?.() === 0 },
        checkoutOwner: this.#filesOwner(facts),
        workspaceNotes: await this.#workspaces.notes(signal),
      });
      return "problem" in calls ? { ...description, servicesProblem: calls.problem } : description;
    });
  }

  /** The host user that a container's root is mapped to. `null`: the user of this process. */
  #filesOwner({ remappedRoot }: EngineFacts): FileOwner | null {
    return this.#hardening.userNamespace ? remappedRoot : null;
  }

  async createSandbox(plan: SandboxPlan, options: Abortable): Promise<Sandbox> {
    const { signal } = options;
    signal.throwIfAborted();
    checkLimits(plan.limits);
    const { version, info, facts } = await asRuntimeFailure(() => this.#inspect(signal, factsAgeMs));
    if (info.OSType !== "linux") throw runtimeFailed(`the Docker engine runs ${info.OSType} containers, not linux`);
    const { runtime } = this.#options;
    if (runtime !== undefined && !facts.runtimes.includes(runtime)) throw unknownRuntime(runtime, facts);
    // Ask about networks only for jobs that have one, so that other jobs don't wait.
    const egress = plan.egress.kind === "none" ? undefined : await asRuntimeFailure(() => this.#inspectEgress(signal));
    const description = describeEngine(version, info, egress ? { egress } : {});
    refuseDocker(plan, description.dockerProblem);
    refuseUnenforceableEgress(plan, description);
    refuseUnenforcedLimits(this.#options.unenforcedLimits ?? "refuse", description);
    const hasServices = (plan.services ?? []).length > 0;
    const networkCalls = hasServices ? await this.#networkCalls(facts) : null;
    if (networkCalls && "problem" in networkCalls) {
      refuseServices(plan.services ?? [], networkCalls.problem);
    }
    const inUserSpace = runtime !== undefined && facts.userSpaceKernels.has(runtime);
    const overhead = inUserSpace ? userSpaceKernelOverhead : plainOverhead;
    await using cleanup = new AsyncDisposableStack();
    const workspace = cleanup.use(
      await this.#workspaces.create(plan, { owner: this.#filesOwner(facts), mountOwned: null }, options),
    );
    const host = await this.#sharedCgroupHost(facts);
    const cgroup = host && (await SharedCgroup.create(host, plan, overhead));
    if (cgroup) cleanup.use(cgroup);
    const network = cleanup.use(await asRuntimeFailure(() => openNetwork(this.#engine, plan, this.#engines, options)));
    const sandbox = new DockerSandbox(this.#engine, {
      ...{
        plan,
        workspace,
        facts,
        images: this.#images,
        network,
        cgroup,
        networkCalls: networkCalls && "problem" in networkCalls ? null : networkCalls,
        overhead,
        hardening: this.#hardening,
        ociRuntime: runtime,
      },
      addHostGateway: this.#options.addHostGateway ?? false,
      allowHostImage: this.#options.allowHostImage,
      // The engine's own limits can't be seen. Without CAP_SYS_RESOURCE it can't grant more than it has.
      processLimits: await processLimits(),
      boundsLayers: plan.limits.diskBytes !== undefined && (await this.#layersAreBounded(signal)),
      onCgroupOutOfReach: () => {
        this.#cgroupOutOfReach = true;
      },
    });
    cleanup.move();
    return new HostDiskSandbox(plan.id, workspace, sandbox);
  }

  collect(options: Parameters<Runtime["collect"]>[0]): Promise<Collected> {
    return asRuntimeFailure(async () => {
      const { facts } = await this.#inspect(options.signal);
      const cgroups = await this.#sharedCgroupHost(facts);
      const parts = { egress: this.#engines.for(options.owner), cgroups, workspaces: this.#workspaces };
      return collectSandboxes(this.#engine, parts, options);
    });
  }

  evictImages(options: Abortable): Promise<readonly string[]> {
    return asRuntimeFailure(() => this.#images.evict(options));
  }

  answers({ signal }: Abortable): Promise<boolean> {
    return this.#engine.ping(AbortSignal.any([signal, AbortSignal.timeout(pingTimeoutMs)]));
  }

  async close(): Promise<void> {
    await this.#workspaces.close();
    await this.#engines.close();
    await this.#engine.close();
  }

  /** Returns the last answer if it is younger than `maximumAgeMs`. */
  async #inspect(signal: AbortSignal, maximumAgeMs = 0): Promise<Inspected> {
    const known = this.#inspected;
    if (known && performance.now() - known.at < maximumAgeMs) return known;
    const version = await this.#engine.version();
    const info = await this.#engine.json(InfoReply, { path: "/info", signal });
    this.#inspected = { version, info, facts: engineFacts(info), at: performance.now() };
    return this.#inspected;
  }

  async #inspectEgress(signal: AbortSignal) {
    const capabilities = await this.#engines.capabilities();
    this.#wasInReach ||= capabilities.public && (await isInReach(this.#engine, this.#engines, signal));
    return { capabilities, inReach: this.#wasInReach };
  }

  /** `undefined` if the containers of one sandbox can't share a cgroup that we create. */
  async #sharedCgroupHost({ cgroupVersion }: EngineFacts): Promise<CgroupHost | undefined> {
    if (!this.#engine.isLocal || this.#cgroupOutOfReach || process.geteuid?.() !== 0) return undefined;
    this.#cgroupHost ??= findCgroupHost();
    const host = await this.#cgroupHost;
    return host.mode === cgroupVersion ? host : undefined;
  }

  /** How to listen in containers' networks, or why this executor can't. */
  async #networkCalls(facts: EngineFacts): Promise<NetworkCalls | { readonly problem: string }> {
    if (!this.#engine.isLocal) {
      return { problem: "The executor can't enter networks of another machine: use a Docker engine on this machine." };
    }
    if (process.geteuid?.() !== 0) {
      return { problem: "Only root can listen in a container's network: run the executor as root." };
    }
    const { runtime } = this.#options;
    if (runtime !== undefined && facts.userSpaceKernels.has(runtime)) {
      return {
        problem:
          "The executor can't enter the loopback of a container of gVisor: use the oci runtime with runsc, or another runtime of the engine.",
      };
    }
    return await loadNetworkCalls();
  }

  /** Probed once: the answer depends on the file system of the engine's data. */
  #layersAreBounded(signal: AbortSignal): Promise<boolean> {
    this.#boundsLayers ??= boundsLayers(this.#engine, { signal });
    // Don't cache a failure.
    this.#boundsLayers.catch(() => {
      this.#boundsLayers = undefined;
    });
    return this.#boundsLayers;
  }
}

export function unknownRuntime(name: string, { runtimes }: EngineFacts): AirlockError {
  return runtimeFailed(
    `the Docker engine has no runtime "${name}"`,
    undefined,
    `Use one of its runtimes (${runtimes.join(", ")}), or add this one to "runtimes" in its daemon.json.`,
  );
}

function refuseUnenforceableEgress({ egress }: SandboxPlan, { enforces, notes }: RuntimeDescription): void {
  const canEnforce = { none: true, public: enforces.egressPublic, allow: enforces.egressAllow };
  if (!canEnforce[egress.kind]) {
    throw refusedByPolicy(
      `this executor cannot enforce the egress policy "${egress.kind}"`,
      notes.find((note) => note.includes("gress")) ?? 'Run the job with the egress policy "none".',
    );
  }
}

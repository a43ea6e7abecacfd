import { writeFileSync } from "node:fs";
import { lstat, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AirlockError } from "@airlock/job";
import { checkEnvironment } from "../contract/check-environment.ts";
import { shmSize } from "../contract/check-limits.ts";
import { checkStep } from "../contract/check-step.ts";
import type { Abortable, SandboxPlan, SandboxStep, SandboxUsage, StepOptions, StepStatus } from "../contract/index.ts";
import { memoryTooSmall, refusedByPolicy, runtimeFailed } from "../contract/index.ts";
import type { Cgroup } from "../host/cgroups/cgroup.ts";
import type { CgroupHost } from "../host/cgroups/cgroup-host.ts";
import { endCgroup } from "../host/cgroups/end-cgroup.ts";
import { watchStarvation } from "../host/cgroups/starvation.ts";
import { assembleHostRoot, hostImageName } from "../host/host-root.ts";
import { hostId } from "../host/id-range.ts";
import { removeTree } from "../host/remove-tree.ts";
import type { StepRunner } from "../host-disk/host-disk-sandbox.ts";
import type { HostWorkspace } from "../host-disk/host-workspace.ts";
import { stepEnvironment } from "../images/step-environment.ts";
import type { ImageStore } from "../images/store/image-store.ts";
import type { ImageUser } from "../images/store/image-user.ts";
import type { StoreHold } from "../images/store/store-leases.ts";
import { handOverWorkspace, type Owner } from "../isolation/hand-over-workspace.ts";
import type { Hardening } from "../isolation/hardening.ts";
import { wasKilledAtStart } from "../isolation/killed-at-start.ts";
import { limitNotes } from "../isolation/limit-notes.ts";
import type { ProcessLimits } from "../isolation/process-limits.ts";
import { type BundleNetwork, bundleConfig, type IdMapping, readOnlyBind } from "./bundle-config.ts";
import { ContainerCommands } from "./container-commands.ts";
import { countLimits, type LimitCounts } from "./count-limits.ts";
import type { GvisorOptions } from "./gvisor.ts";
import { handOverScripts } from "./hand-over-scripts.ts";
import { hidden, mountTable } from "./launcher.ts";
import { makeRootfs, type StepRoot } from "./make-rootfs.ts";
import type { SandboxNetwork } from "./network.ts";
import { OutputPipePool } from "./output-pipes.ts";
import { removeSmallTree } from "./remove-small-tree.ts";
import type { RuntimeBinary } from "./runtime-binary.ts";
import { SandboxDisk } from "./sandbox-disk.ts";
import { mountsOfStep, placesOfStep, type StepPlaces } from "./step-places.ts";
import { WaitingLauncher } from "./step-process.ts";
import type { MappedUsers } from "./user-namespace.ts";

export interface OciSandboxParts {
  readonly plan: SandboxPlan;
  readonly workspace: HostWorkspace;
  /** Existing directory for everything that the sandbox writes. Other users must not be able to enter it. */
  readonly directory: string;
  readonly binary: RuntimeBinary;
  readonly gvisor: GvisorOptions;
  readonly images: ImageStore;
  readonly cgroupHost: CgroupHost;
  readonly cgroup: Cgroup | undefined;
  readonly network: SandboxNetwork;
  readonly allowHostImage: boolean;
  /** Options of overlay mounts besides the directories; `null` without overlayfs. */
  readonly overlayOptions: readonly string[] | null;
  readonly limits: ProcessLimits;
  /** The executor's user if that is not root. Then only the container's root is mapped, to this user. */
  readonly rootless: Owner | null;
  /** How the users in the containers are mapped if the executor is root; `null`: they are the host's. */
  readonly users: MappedUsers | null;
  /** Releases what {@link users} consists of. */
  readonly endUsers: () => void;
  /** The directory with the images' layers, whose owners are this sandbox's users. */
  readonly layersDirectory: string;
  readonly hardening: Hardening;
}

/** Everything for a step that can be prepared before the step is known. */
interface StepPlace {
  readonly name: string;
  readonly places: StepPlaces;
  readonly cgroup: Cgroup | undefined;
  /** For an OCI runtime that joins its cgroups itself. */
  readonly cgroupsPath: string | null;
  readonly launcher: WaitingLauncher;
}

/** Start preparing the next step only after this long, so that short steps have the CPU to themselves. */
const shortStepMs = 200;

export class OciSandbox implements StepRunner {
  readonly #parts: OciSandboxParts;
  readonly #pipes: OutputPipePool;
  readonly #roots = new Map<string, Promise<StepRoot>>();
  readonly #running = new Set<Promise<unknown>>();
  readonly #tidying = new Set<Promise<void>>();
  readonly #ending = new AbortController();
  readonly #disk: SandboxDisk;
  readonly #hold: StoreHold;
  #steps = 0;
  #spare: Promise<{ readonly root: StepRoot; readonly place: StepPlace }> | undefined;
  /** Owner of the workspace's files; `undefined` until it was looked up. */
  #workspaceOwner: Owner | undefined;
  #disposing: Promise<void> | undefined;

  private constructor(parts: OciSandboxParts) {
    this.#parts = parts;
    this.#hold = parts.images.hold();
    this.#pipes = new OutputPipePool(join(parts.directory, "pipes"));
    this.#disk = new SandboxDisk({
      limits: parts.plan.limits,
      workspace: parts.workspace,
      stepsDirectory: join(parts.directory, "steps"),
      processes: async () => (await parts.cgroup?.processes()) ?? [],
    });
  }

  static async create(parts: OciSandboxParts): Promise<OciSandbox> {
    const sandbox = new OciSandbox(parts);
    for (const name of ["pipes", "steps", "state"]) await mkdir(join(parts.directory, name), { mode: 0o700 });
    await sandbox.#pipes.prepare();
    return sandbox;
  }

  async prepareImage(image: string, options: Abortable & { readonly progress: (text: string) => void }): Promise<void> {
    options.signal.throwIfAborted();
    // Stored only on success, so that the next call tries again.
    this.#roots.set(image, Promise.resolve(await this.#root(image, options)));
  }

  async runStep(step: SandboxStep, options: StepOptions): Promise<StepStatus> {
    if (this.#disposing) throw runtimeFailed("the sandbox is disposed");
    const running = this.#run(step, options);
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
    }
  }

  usage(): SandboxUsage {
    const { cgroup, network } = this.#parts;
    return { cpuMs: cgroup?.cpuMs(), memoryBytes: cgroup?.memoryBytes(), network: network.traffic() };
  }

  end(): Promise<void> {
    // A failed disposal can be repeated.
    this.#disposing ??= this.#dispose().catch((error: unknown) => {
      this.#disposing = undefined;
      throw error;
    });
    return this.#disposing;
  }

  async #dispose(): Promise<void> {
    this.#ending.abort(runtimeFailed("the sandbox is disposed"));
    await this.#parts.cgroup?.kill();
    await Promise.allSettled(this.#running);
    const spare = await this.#spare?.catch(() => undefined);
    if (spare) this.#tidy(this.#removePlace(spare.place));
    await Promise.all(this.#tidying);
    await this.#parts.network[Symbol.asyncDispose]();
    if (this.#parts.cgroup) await endCgroup(this.#parts.cgroup);
    this.#parts.endUsers();
    await removeTree(this.#parts.directory);
    // Must be last: until then, layers may still be mounted.
    this.#hold[Symbol.dispose]();
  }

  async #root(image: string, options: Abortable & { readonly progress: (text: string) => void }): Promise<StepRoot> {
    if (image !== hostImageName) {
      const { registryAuth } = this.#parts.plan;
      const prepared = await this.#parts.images.prepare(image, { ...options, registryAuth, hold: this.#hold });
      return { image: prepared, layersDirectory: this.#parts.layersDirectory, mounts: [] };
    }
    if (!this.#parts.allowHostImage) {
      throw refusedByPolicy(
        'this executor does not allow the image name "host"',
        "Use a container image, or ask this executor's administrator to allow it.",
      );
    }
    this.#parts.images.admitHost();
    const layersDirectory = join(this.#parts.directory, "host");
    const root = join(layersDirectory, "root");
    const known = this.#roots.get(image);
    if (known) return known;
    await mkdir(root, { recursive: true, mode: 0o755 });
    const mounts = (await assembleHostRoot(root)).map(readOnlyBind);
    this.#giveToRoot(root);
    const user = { uid: 0, gid: 0, additionalGids: [], home: "/root" };
    return { image: { layers: ["root"], user, env: [], volumeDirectories: [] }, layersDirectory, mounts };
  }

  async #run(step: SandboxStep, options: StepOptions): Promise<StepStatus> {
    const signal = AbortSignal.any([options.signal, this.#ending.signal]);
    signal.throwIfAborted();
    checkStep(step);
    checkEnvironment(step.env);
    const root = await (this.#roots.get(step.image) ?? this.#root(step.image, { signal, progress: () => {} }));

    this.#checkUser(step.image, root.image.user);
    const { uid, gid } = root.image.user;
    await this.#handOver({ uid: this.#hostId(uid), gid: this.#hostId(gid) }, signal);
    const { nextImage = "" } = options;
    const ahead = this.#prepareAhead(nextImage === step.image ? Promise.resolve(root) : this.#roots.get(nextImage));
    let place: StepPlace | undefined;
    try {
      place = (await this.#takeSpare(root)) ?? (await this.#makePlace(root));
      const { cgroup, launcher } = place;
      this.#writeConfig(place, root, step);
      const { cgroup: sandbox, plan } = this.#parts;
      const counted = sandbox && (await countLimits(sandbox));
      using _starvation = sandbox && cgroup && watchStarvation(sandbox, cgroup, plan.limits.memoryBytes);
      const status = await this.#disk.during(signal, (stop) => launcher.run({ signal: stop, output: options.output }));
      return await this.#withNotes(status, cgroup, counted);
    } catch (error) {
      throw await this.#explained(step.image, error);
    } finally {
      await this.#parts.network.reportDenied();
      if (place) this.#tidy(this.#removePlace(place));
      ahead.begin();
    }
  }

  /** @throws {AirlockError} reason `policy` when the sandbox does not have the image's user or one of its groups. */
  #checkUser(image: string, { uid, gid, additionalGids }: ImageUser): void {
    if (this.#parts.rootless && (uid !== 0 || gid !== 0)) {
      throw refusedByPolicy(
        `image "${image}" runs as user ${uid}:${gid}, but an executor without root runs only images of user 0:0`,
        "Use an image that runs as root, or ask the administrator to run the executor as root.",
      );
    }
    const size = this.#parts.users?.range.size;
    if (size === undefined) return;
    const groups = additionalGids.filter((id) => id >= size);
    const who =
      Math.max(uid, gid) >= size
        ? `runs as user ${uid}:${gid}`
        : groups.length > 0
          ? `runs with the groups ${groups.slice(0, 5).join(", ")} of its /etc/group`
          : null;
    if (who === null) return;
    throw refusedByPolicy(
      `image "${image}" ${who}, but this executor's sandboxes have only the ids 0 to ${size - 1}`,
      "Use smaller ids in the image, or ask the administrator to raise EXECUTOR_SANDBOX_ID_COUNT.",
    );
  }

  /** Returns the error to throw for a step that could not run. It names the job's limit if that is the cause. */
  async #explained(image: string, error: unknown): Promise<unknown> {
    const { cgroup, plan } = this.#parts;
    const { memoryBytes } = plan.limits;
    const wasKilled = error instanceof AirlockError && error.reason === "runtime" && wasKilledAtStart(error.message);
    if (wasKilled && (await cgroup?.reachedMemory(memoryBytes))) return memoryTooSmall(image, memoryBytes);
    return this.#disk.explained(error);
  }

  /**
   * Prepares the place for the next step: during this step if it runs long, and otherwise after it. This leaves the
   * processor to short steps.
   */
  #prepareAhead(root: Promise<StepRoot> | undefined): { readonly begin: () => void } {
    // Copying an image is expensive, so it waits until the next step certainly needs the copy.
    if (root === undefined || this.#parts.overlayOptions === null) return { begin: () => {} };
    const begin = () => {
      clearTimeout(timer);
      if (this.#spare || this.#disposing) return;
      const place = root.then(async (made) => ({ root: made, place: await this.#makePlace(made) }));
      // Without a spare place, the next step creates its own and reports any error.
      place.catch(() => {});
      this.#spare = place;
    };
    const timer = setTimeout(begin, shortStepMs);
    return { begin };
  }

  /** Returns the prepared place if it has the right image and its launcher is still running. */
  async #takeSpare(root: StepRoot): Promise<StepPlace | undefined> {
    // Take it synchronously, because steps may run concurrently.
    const taken = this.#spare;
    this.#spare = undefined;
    const spare = await taken?.catch(() => undefined);
    if (!spare) return undefined;
    if (haveSameFiles(spare.root, root) && spare.place.launcher.isThere) return spare.place;
    this.#tidy(this.#removePlace(spare.place));
    return undefined;
  }

  /** Creates everything that a step needs except its configuration. On failure, removes what it created. */
  async #makePlace(root: StepRoot): Promise<StepPlace> {
    this.#steps += 1;
    const name = String(this.#steps);
    const directory = join(this.#parts.directory, "steps", name);
    const stage = this.#parts.users?.stageDirectory ?? null;
    const places = placesOfStep(directory, name, this.#parts.workspace, stage);
    const runtime = this.#runtime(name, directory);
    const cgroup = this.#parts.cgroup?.child(name);
    const begun: Promise<unknown>[] = [];
    try {
      await mkdir(directory, { mode: 0o700 });
      if (places.layer !== directory) await mkdir(places.layer, { mode: 0o700 });
      const rootfs = makeRootfs(places, root, {
        hostname: this.#hostname,
        resolvConf: this.#parts.network.resolvConf,
        overlayOptions: this.#parts.overlayOptions,
        setuidWorks: !this.#parts.hardening.noNewPrivileges,
        giveToRoot: (path) => this.#giveToRoot(path),
        rootOwner: this.#rootOwner,
        onCopied: (path) => this.#disk.exempt(path),
      });
      const made = cgroup?.make();
      begun.push(rootfs, Promise.resolve(made));
      const [overlay] = await Promise.all([rootfs, made]);
      const { namespacePath } = this.#parts.network;
      const mounts = [
        ...(this.#parts.binary.kind === "crun" ? this.#parts.cgroupHost.hiddenFromCrun.map(hidden) : []),
        ...mountsOfStep(places, {
          workspace: this.#parts.workspace,
          overlayOptions: overlay?.options ?? null,
          hasNetwork: namespacePath !== null,
          setuidWorks: !this.#parts.hardening.noNewPrivileges,
        }),
      ];
      const table = join(directory, "mounts");
      if (mounts.length > 0) await writeFile(table, mountTable(mounts), { mode: 0o600 });
      const entersNetwork = namespacePath !== null && this.#entersNetwork(places);
      const launcher = await WaitingLauncher.start({
        cwd: root.layersDirectory,
        cgroup,
        directory,
        pidFile: runtime.pidFile,
        logFile: runtime.logFile,
        pipes: this.#pipes,
        isGvisor: this.#parts.binary.kind === "runsc",
        signal: runtime.signal,
        launch: {
          networkNamespace: entersNetwork ? namespacePath : null,
          opensNetwork: entersNetwork,
          mountTable: mounts.length > 0 ? table : null,
          joinFiles: runtime.joinsCgroups ? (cgroup?.joinFiles ?? []) : [],
          command: runtime.run,
          channelDescriptor: runtime.channelDescriptor,
          isRoot: this.#parts.rootless === null,
        },
      });
      return { name, places, cgroup, launcher, cgroupsPath: runtime.joinsCgroups ? null : (cgroup?.path ?? null) };
    } catch (error) {
      // What is still being made would outlive its removal. A cgroup would then keep the sandbox's from being removed.
      this.#tidy(Promise.allSettled(begun).then(() => this.#removeStep(name, places, cgroup)));
      throw error;
    }
  }

  async #removePlace({ name, places, cgroup, launcher }: StepPlace): Promise<void> {
    await launcher[Symbol.asyncDispose]();
    await this.#removeStep(name, places, cgroup);
  }

  async #withNotes(
    status: StepStatus,
    cgroup: Cgroup | undefined,
    before: LimitCounts | undefined,
  ): Promise<StepStatus> {
    const { cgroup: sandbox, plan } = this.#parts;
    if (!sandbox || !cgroup || !before) return status;
    const [after, oomKills, refusedForks] = await Promise.all([
      countLimits(sandbox),
      cgroup.oomKills(),
      cgroup.refusedForks(),
    ]);
    const notes = limitNotes(status, {
      limits: plan.limits,
      oomKills,
      // Depending on the kernel, the counter is in the cgroup that tried the fork or in the one with the limit.
      refusedForks: refusedForks + after.refusedForks - before.refusedForks,
      throttledMs: after.throttledMs - before.throttledMs,
      elapsedMs: after.atMs - before.atMs,
    });
    return notes.length > 0 ? { ...status, notes } : status;
  }

  /**
   * Removes a step's leftovers in the background, since nothing runs there any more. Disposal removes what is left, and
   * reports errors.
   */
  #tidy(removal: Promise<void>): void {
    const settled = removal.catch(() => {}).finally(() => this.#tidying.delete(settled));
    this.#tidying.add(settled);
  }

  async #removeStep(name: string, places: StepPlaces, cgroup: Cgroup | undefined): Promise<void> {
    // The OCI runtime removes its container's state, unless it was killed or told to keep the cgroup.
    const state = join(this.#parts.directory, "state", containerId(this.#parts.plan.id, name));
    const large = [...new Set([places.layer, places.directory, state])].filter((path) => !removeSmallTree(path));
    if (large.length > 0) await removeTree(...large);
    // A launcher that had to be killed while it started can leave a process there.
    if (cgroup) await endCgroup(cgroup);
  }

  /** The OCI runtime's command lines for a step's container. */
  #runtime(name: string, directory: string): ContainerCommands {
    const { binary, gvisor, network } = this.#parts;
    return new ContainerCommands({
      binary,
      gvisor,
      hasNetwork: network.namespacePath !== null,
      stateDirectory: join(this.#parts.directory, "state"),
      bundle: directory,
      containerId: containerId(this.#parts.plan.id, name),
      joinsUserNamespace: this.#parts.users?.namespacePath != null,
      limits: this.#parts.limits,
    });
  }

  /** Changes the owner of the workspace and the scripts to the step's user. Nothing of the job may run meanwhile. */
  async #handOver(owner: Owner, signal: AbortSignal): Promise<void> {
    if (this.#parts.rootless) return;
    const { dir: workspaceDir, readOnlyDir: scriptsDir } = this.#parts.workspace;
    this.#workspaceOwner ??= await lstat(workspaceDir);
    if (this.#workspaceOwner.uid !== owner.uid || this.#workspaceOwner.gid !== owner.gid) {
      await handOverWorkspace(workspaceDir, owner, { signal });
      this.#workspaceOwner = owner;
    }
    handOverScripts(scriptsDir, owner);
  }

  #hostId(id: number): number {
    return hostId(this.#parts.users?.range ?? null, id);
  }

  /** Changes the owner of a file that the executor created to the container's root user. */
  #giveToRoot(path: string): void {
    if (this.#rootOwner) handOverScripts(path, this.#rootOwner);
  }

  get #rootOwner(): Owner | null {
    const range = this.#parts.users?.range;
    return range ? { uid: range.base, gid: range.base } : null;
  }

  #writeConfig({ name, places, cgroupsPath }: StepPlace, root: StepRoot, step: SandboxStep): void {
    const runtime = this.#runtime(name, places.directory);
    const config = bundleConfig({
      rootfs: places.rootfs,
      hostname: this.#hostname,
      script: step.script,
      workingDirectory: step.workingDirectory,
      env: stepEnvironment(root.image, step.env),
      user: root.image.user,
      workspaceDir: places.workspaceDir,
      scriptsDir: places.scriptsDir,
      extraMounts: root.mounts,
      network: this.#bundleNetwork(places),
      cgroupsPath,
      limits: runtime.setsLimits ? null : this.#parts.limits,
      idMapping: this.#idMapping,
      hardening: this.#parts.hardening,
      memoryBytes: this.#parts.plan.limits.memoryBytes,
      shmBytes: shmSize(this.#parts.plan.limits),
      channelDescriptor: runtime.channelDescriptor,
      hasOwnKernel: this.#parts.binary.kind === "runsc",
    });
    // The file contains the step's secrets.
    writeFileSync(join(places.directory, "config.json"), JSON.stringify(config), { mode: 0o600 });
  }

  #bundleNetwork({ stage }: StepPlaces): BundleNetwork {
    const path = this.#parts.network.namespacePath;
    if (path === null) return { kind: "new" };
    if (this.#parts.binary.kind === "runsc") return { kind: "inherited", sysfs: null };
    if (stage === null && this.#parts.network.isHeldHere) return { kind: "inherited", sysfs: null };
    return stage === null ? { kind: "join", path } : { kind: "inherited", sysfs: join(stage, "sys") };
  }

  /**
   * Whether the launcher enters the network. gVisor uses the network that it starts in. The root of another user
   * namespace can't enter a network of the host's user namespace. An OCI runtime can't find a network that only this
   * process holds.
   */
  #entersNetwork({ stage }: StepPlaces): boolean {
    return stage !== null || this.#parts.binary.kind === "runsc" || this.#parts.network.isHeldHere;
  }

  get #idMapping(): IdMapping | null {
    const { rootless, users } = this.#parts;
    if (rootless) return { ...rootless, size: 1, namespacePath: null };
    if (!users) return null;
    const { base, size } = users.range;
    return { uid: base, gid: base, size, namespacePath: users.namespacePath };
  }

  get #hostname(): string {
    return this.#parts.plan.id.slice(0, 63);
  }
}

function haveSameFiles(one: StepRoot, other: StepRoot): boolean {
  const filesOf = ({ layersDirectory, image: { layers, volumeDirectories } }: StepRoot) =>
    JSON.stringify([layersDirectory, layers, volumeDirectories]);
  return filesOf(one) === filesOf(other);
}

function containerId(sandbox: string, step: string): string {
  return `airlock-${sandbox}-${step}`;
}

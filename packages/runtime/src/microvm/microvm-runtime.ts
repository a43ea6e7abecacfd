import { randomBytes } from "node:crypto";
import { mkdir, stat } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { AirlockError } from "@airlock/job";
import { checkLimits } from "../contract/check-limits.ts";
import {
  type Abortable,
  type Collected,
  type KeepReady,
  type ReadOnlyFile,
  type ReadySandboxes,
  type RuntimeDescription,
  refuseDocker,
  refusedByPolicy,
  runtimeFailed,
  type Sandbox,
  type SandboxPlan,
} from "../contract/index.ts";
import { type Bandwidth, EgressEngines } from "../egress/index.ts";
import { hostImageName } from "../host/host-root.ts";
import { loadNetworkCalls, type NetworkCalls } from "../host/network-calls.ts";
import { removeTree } from "../host/remove-tree.ts";
import { ImageStore } from "../images/store/image-store.ts";
import { defaultHardening, type Hardening, relaxations } from "../isolation/hardening.ts";
import { type ProcessLimits, processLimits } from "../isolation/process-limits.ts";
import { collectMachines } from "./collect-machines.ts";
import { GuestSystem } from "./disks/guest-system.ts";
import { ImageDisks } from "./disks/image-disks.ts";
import { makeWorkspaceDisk } from "./disks/workspace-disk.ts";
import { type DockerDisk, dockerNotInstalled } from "./docker/docker-disk.ts";
import { startDocker } from "./docker/start-docker.ts";
import { GuestAgent } from "./guest/guest-agent.ts";
import { guestStepFilter } from "./guest/seccomp/guest-step-filter.ts";
import { GuestPool } from "./guest-pool.ts";
import { type CopiedPlan, GuestStarts } from "./guest-starts.ts";
import { keepDisk } from "./keep-disk.ts";
import { hasMemoryToWait, type MachineShape, machineShape } from "./machine-shape.ts";
import type { MicrovmRuntime, MicrovmRuntimeOptions } from "./microvm-runtime-options.ts";
import { MicrovmSandbox } from "./microvm-sandbox.ts";
import { maximumVmCpus } from "./monitor/maximum-vm-cpus.ts";
import { slotBytes, type VmNetwork, type VmPlan } from "./monitor/vm-monitor.ts";
import { putGuestFiles } from "./put-guest-files.ts";
import { ReadyGuest, type StartedGuest, workspaceDisk } from "./ready-guest.ts";
import { Rehearsal } from "./rehearsal.ts";
import { shortName } from "./short-name.ts";
import { versionOfFiles } from "./version-of-files.ts";
import { defaultNamePrefix, machineName } from "./vm-names.ts";
import { openNetwork, openUnconnectedTap, type SandboxNetwork } from "./vm-networks.ts";

export type { MicrovmRuntime };

/** The disk with the workspace comes before them. */
const imageSlots = Array.from({ length: 12 }, (_, index) => index + 1);
/** The slot of the disk with Docker. A job that uses it has one image less, and all machines have the same shape. */
const dockerSlot = 12;
const rehearsalSlot = imageSlots.length + 1;
/** The empty slots of each machine. */
const slots: readonly null[] = [...imageSlots, rehearsalSlot].map(() => null);
/** A processor boots a guest within a second. Emulation takes two, and a minute on a machine that is overloaded. */
const bootLimitsMs = { kvm: 60_000, tcg: 180_000 } as const;
const unlimited: Bandwidth = { ingress: null, egress: null };

/** @throws {AirlockError} reason `runtime` when the state directory is unusable. */
export async function createMicrovmRuntime(options: MicrovmRuntimeOptions): Promise<MicrovmRuntime> {
  const { stateDir } = options;
  if (!isAbsolute(stateDir)) throw runtimeFailed(`the state directory "${stateDir}" is not an absolute path`);
  await mkdir(join(stateDir, "vms"), { recursive: true, mode: 0o700 });
  const store = await ImageStore.open({
    directory: join(stateDir, "images"),
    style: "overlay",
    keepOwners: process.geteuid?.() === 0,
    idRange: null,
    registry: options.registry ?? {},
    images: options.images ?? {},
    ...(options.imageLimits ? { limits: options.imageLimits } : {}),
  });
  const disks = await ImageDisks.open({
    directory: join(stateDir, "image-disks"),
    images: store,
    maximumBytes: options.images?.cacheBytes ?? null,
  });
  return new CreatedMicrovmRuntime(options, {
    store,
    disks,
    system: new GuestSystem({ directory: join(stateDir, "guest-system"), slotBytes }),
    limits: await processLimits(),
    engines: new EgressEngines(options.egress ?? {}),
    networkCalls: await loadNetworkCalls(),
  });
}

interface Parts {
  readonly store: ImageStore;
  readonly disks: ImageDisks;
  readonly system: GuestSystem;
  readonly limits: ProcessLimits;
  readonly engines: EgressEngines;
  readonly networkCalls: NetworkCalls | { readonly problem: string };
}

class CreatedMicrovmRuntime implements MicrovmRuntime {
  readonly name = "microvm";
  readonly systemImage = `guest-system-${randomBytes(16).toString("hex")}`;
  readonly #options: MicrovmRuntimeOptions;
  readonly #store: ImageStore;
  readonly #disks: ImageDisks;
  readonly #system: GuestSystem;
  readonly #limits: ProcessLimits;
  readonly #engines: EgressEngines;
  readonly #networkCalls: Parts["networkCalls"];
  readonly #hardening: Hardening;
  readonly #starts = new Map<string, GuestStarts>();
  /** Guests that wait for jobs, by owner. */
  readonly #pools = new Map<string, GuestPool<MachineShape, ReadyGuest>>();
  readonly #filter: Buffer;
  readonly #docker: DockerDisk | { readonly problem: string };
  /** Ids of machines that were not started for a job, by owner. Callers of `collect` don't know them. */
  readonly #own = new Map<string, Set<string>>();

  constructor(options: MicrovmRuntimeOptions, { store, disks, system, limits, engines, networkCalls }: Parts) {
    this.#options = options;
    this.#docker = options.docker ?? { problem: dockerNotInstalled };
    this.#store = store;
    this.#disks = disks;
    this.#system = system;
    this.#limits = limits;
    this.#engines = engines;
    this.#networkCalls = networkCalls;
    this.#hardening = { ...defaultHardening, ...options.hardening };
    this.#filter = guestStepFilter({ cpu: "x64", allowListed: this.#hardening.seccomp });
  }

  async describe({ signal }: Abortable): Promise<RuntimeDescription> {
    const monitor = this.#options.monitorFor("describe");
    const version = await monitor.version({ signal });
    const egress = await this.#engines.capabilities();
    const dockerProblem = "problem" in this.#docker ? this.#docker.problem : null;
    const egressProblem = egress.public ? egress.guestProblem : egress.notes[0];
    return {
      version: `${monitor.name} ${version}, accelerator ${monitor.accelerator}`,
      components: [{ name: monitor.name, version }],
      enforces: {
        // The guest's kernel enforces them, and the size of the machine bounds what a job can do to the guest.
        cpu: true,
        memory: true,
        pids: true,
        egressNone: true,
        egressPublic: egress.public && egress.guestProblem === null,
        egressAllow: egress.allow && egress.guestProblem === null,
        disk: "file-system",
      },
      checkoutOwner: null,
      ...(egressProblem ? { egressProblem } : {}),
      dockerProblem,
      hasHostImage: false,
      notes: [
        ...(this.#options.notes ?? []),
        ...relaxations(this.#hardening),
        ...(dockerProblem === null ? [] : [`Jobs with \`services: docker\` go to other executors. ${dockerProblem}`]),
        ...(egress.guestProblem !== null && egress.public ? [egress.guestProblem] : []),
        ...egress.notes,
        ...egress.linkNotes,
      ],
    };
  }

  loadImages(archivePath: string, options: Abortable): Promise<string[]> {
    return this.#store.load(archivePath, options);
  }

  async createSandbox(plan: SandboxPlan, { signal }: Abortable): Promise<Sandbox> {
    signal.throwIfAborted();
    if (!/^[a-z0-9-]{1,60}$/.test(plan.id) || !/^[a-z0-9-]{1,40}$/.test(plan.owner)) {
      throw runtimeFailed(`"${plan.owner}" and "${plan.id}" are not valid in a sandbox's name`);
    }
    checkLimits(plan.limits);
    const docker = this.#docker;
    refuseDocker(plan, "problem" in docker ? docker.problem : null);
    if (plan.limits.cpus > maximumVmCpus) throw tooManyCpus(plan.limits.cpus);
    await using undo = new AsyncDisposableStack();
    try {
      const guest = undo.use((await this.#readyGuest(plan, signal)) ?? (await this.#startGuest(plan, signal)));
      const { agent } = guest;
      agent.connection.serve(plan.services ?? []);
      for (const file of plan.workspace.readOnlyFiles) await agent.putFile(jobFile(file), signal);
      await putGuestFiles(agent, plan.workspace.files, signal);
      if (plan.docker && !("problem" in docker)) {
        const { resolvConf, guest: device } = guest.network;
        const { limits, dockerDaemon: daemon, onWait } = plan;
        const start = { disk: dockerSlot, limits, resolvConf, mtu: device?.mtu ?? null, daemon, onWait };
        await startDocker({ vm: guest.vm, agent }, docker.path, start, signal);
      }
      const sandbox = this.#sandbox(plan, guest);
      undo.move();
      return sandbox;
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      if (error instanceof AirlockError) throw error;
      throw runtimeFailed(`cannot create the sandbox ${plan.id}`, error);
    }
  }

  keepReady({ owner, count, like }: KeepReady): ReadySandboxes {
    const { guest } = this.#options;
    const { program, accelerator } = this.#options.monitorFor(owner);
    const pool = new GuestPool<MachineShape, ReadyGuest>({
      size: count,
      firstShape: machineShape(like),
      make: (shape, { signal }) =>
        ReadyGuest.start({
          shape,
          signal,
          openPlace: () => this.#openOwnPlace(owner, this.#machineName(`ready-${randomBytes(6).toString("hex")}`)),
          openTap: () => openUnconnectedTap(this.#networkCalls),
          machine: { guest, bootMs: bootLimitsMs[accelerator] },
          slots,
          rehearse: async (vm, agent) => {
            const rehearsal = await Rehearsal.open(join(this.#options.stateDir, "rehearsal"), {
              seccompFilter: this.#filter,
              signal,
            });
            await rehearsal.run(vm, agent, rehearsalSlot, { signal });
          },
          start: (plan, options) => this.#startsOf(owner).startCopy(plan, options),
        }),
      hasMemoryFor: hasMemoryToWait,
      version: () => versionOfFiles([program, guest.kernel, guest.initrd]),
      onProblem: this.#options.onProblem ?? (() => {}),
    });
    this.#pools.set(owner, pool);
    return pool;
  }

  async collect({
    owner,
    keep,
    signal,
  }: { readonly owner: string; readonly keep: ReadonlySet<string> } & Abortable): Promise<Collected> {
    const machines = {
      owner,
      keep: () => new Set([...[...keep].map((id) => this.#machineName(id)), ...(this.#own.get(owner) ?? [])]),
      signal,
      cgroupHost: this.#options.cgroupHost,
      directory: this.#ownersDirectory(owner),
      nameOf: shortName,
      collectNetworks: () => this.#engines.for(owner).collect({ keep, signal }),
    };
    return await collectMachines(machines);
  }

  async evictImages(options: Abortable): Promise<readonly string[]> {
    const files = this.#options.guestHold?.removeUnused() ?? [];
    const images = [...(await this.#disks.evict(options)), ...(await this.#store.evict(options))];
    return [...files.map((name) => `${name} of an earlier installation`), ...images];
  }

  async close(): Promise<void> {
    for (const pool of this.#pools.values()) await pool[Symbol.asyncDispose]();
    for (const starts of this.#starts.values()) await starts[Symbol.asyncDispose]();
    await this.#engines.close();
    await this.#disks.close();
    await this.#store.close();
    this.#options.guestHold?.[Symbol.dispose]();
  }

  #ownersDirectory(owner: string): string {
    return join(this.#options.stateDir, "vms", shortName(owner));
  }

  #startsOf(owner: string): GuestStarts {
    const known = this.#starts.get(owner);
    if (known) return known;
    const starts = new GuestStarts({
      monitor: this.#options.monitorFor(owner),
      directory: join(this.#options.stateDir, "snapshots"),
      planAlike: (like) => this.#planAlike(owner, like),
      onProblem: this.#options.onProblem ?? (() => {}),
    });
    this.#starts.set(owner, starts);
    return starts;
  }

  #machineName(id: string): string {
    return machineName(this.#options.namePrefix ?? defaultNamePrefix, id);
  }

  /** The network of a job's machine. */
  #openNetwork(plan: SandboxPlan, tap: VmNetwork | null, signal: AbortSignal): Promise<SandboxNetwork> {
    const { bandwidth = unlimited } = this.#options;
    return openNetwork(plan, { engines: this.#engines, bandwidth, tap }, { signal });
  }

  /** A guest from the pool. `null`: it has none for this job. */
  async #readyGuest(plan: SandboxPlan, signal: AbortSignal): Promise<StartedGuest | null> {
    const guest = await this.#pools.get(plan.owner)?.take(machineShape(plan), { signal });
    if (!guest) return null;
    const started = await guest.giveTo(plan, (tap) => this.#openNetwork(plan, tap, signal), { signal });
    const release = async () => {
      try {
        await this.#keepDisk(guest.diskPath, plan.id);
      } finally {
        await started.release();
      }
    };
    return { ...started, release };
  }

  async #keepDisk(path: string, id: string): Promise<void> {
    const { keepDisksIn } = this.#options;
    if (keepDisksIn !== undefined) await keepDisk(path, join(keepDisksIn, `${id}.ext4`));
  }

  async #startGuest(plan: SandboxPlan, signal: AbortSignal): Promise<StartedGuest> {
    await using undo = new AsyncDisposableStack();
    const network = undo.use(await this.#openNetwork(plan, null, signal));
    const vmPlan = undo.use(await this.#makePlan(plan, network.device, signal));
    const vm = undo.use(await this.#startsOf(plan.owner).start(vmPlan, { signal }));
    const time = new Date();
    const agent = undo.use(await GuestAgent.connect(vm.stream, { signal, seed: randomBytes(32), time }));
    if (network.guest) await agent.setNetwork(network.guest, signal);
    await agent.mountWorkspace(workspaceDisk, vmPlan.diskBytes, signal);
    const started = undo.move();
    return {
      machine: vmPlan.id,
      vm,
      agent,
      network,
      release: async () => {
        // Also after a failure: a directory that stays must not keep the network.
        await using _network = network;
        await vmPlan[Symbol.asyncDispose]();
      },
      [Symbol.asyncDispose]: () => started.disposeAsync(),
    };
  }

  async #makePlan(plan: SandboxPlan, network: VmNetwork | null, signal: AbortSignal): Promise<PlannedVm> {
    const id = this.#machineName(plan.id);
    const place = await this.#openPlace(plan.owner, id);
    const { cpus, memoryBytes, diskBytes } = machineShape(plan);
    try {
      const path = join(place.dir, "workspace.ext4");
      await makeWorkspaceDisk({ path, diskBytes, checkout: plan.workspace.checkout, signal });
      return {
        id,
        dir: place.dir,
        guest: this.#options.guest,
        cpus,
        memoryBytes,
        disks: [{ path, readOnly: false }, ...slots],
        network,
        bootMs: bootLimitsMs[this.#options.monitorFor(plan.owner).accelerator],
        diskBytes,
        [Symbol.asyncDispose]: async () => {
          try {
            await this.#keepDisk(path, plan.id);
          } finally {
            await place[Symbol.asyncDispose]();
          }
        },
      };
    } catch (error) {
      await place[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #planAlike(owner: string, like: VmPlan): Promise<CopiedPlan & AsyncDisposable> {
    const id = this.#machineName(`snapshot-${randomBytes(6).toString("hex")}`);
    await using made = new AsyncDisposableStack();
    const { dir } = made.use(await this.#openOwnPlace(owner, id));
    const { dir: scratch } = made.use(await this.#openOwnPlace(owner, `${id}-state`));
    const path = join(dir, "workspace.ext4");
    const { size } = await stat(like.disks[workspaceDisk]?.path ?? "");
    await makeWorkspaceDisk({ path, diskBytes: size, checkout: null, signal: new AbortController().signal });
    const disks = [{ path, readOnly: false }, ...slots];
    const network = like.network && made.use(await openUnconnectedTap(this.#networkCalls));
    const kept = made.move();
    return { ...like, id, dir, scratch, disks, network, [Symbol.asyncDispose]: () => kept.disposeAsync() };
  }

  /** The directory of one machine, which its monitor's user will own. */
  async #openPlace(owner: string, id: string): Promise<Place> {
    const owned = this.#ownersDirectory(owner);
    await mkdir(owned, { recursive: true, mode: 0o700 });
    const dir = join(owned, shortName(id));
    await mkdir(dir, { mode: 0o700 });
    return { id, dir, [Symbol.asyncDispose]: () => removeTree(dir) };
  }

  /** As {@link #openPlace}, for a machine that is not started for a job. */
  async #openOwnPlace(owner: string, id: string): Promise<Place> {
    const own = this.#own.get(owner) ?? new Set();
    this.#own.set(owner, own);
    own.add(id);
    const place = await this.#openPlace(owner, id);
    return {
      id,
      dir: place.dir,
      [Symbol.asyncDispose]: async () => {
        await place[Symbol.asyncDispose]();
        own.delete(id);
      },
    };
  }

  #sandbox(plan: SandboxPlan, { machine, vm, agent, network, release }: StartedGuest): Sandbox {
    const hold = this.#disks.hold();
    const cgroup = this.#options.cgroupHost.open(plan.owner, machine);
    const { startupScript: script } = this.#options;
    const { cpus } = machineShape(plan);
    const processors = cpus === 1 ? "1 processor" : `${cpus} processors`;
    return new MicrovmSandbox({
      plan,
      vm,
      agent,
      imageSlots: plan.docker ? imageSlots.filter((slot) => slot !== dockerSlot) : imageSlots,
      docker: plan.docker ?? false,
      notes: [`a virtual machine with ${processors} and a disk of its own (${machine})`],
      openImage: async (image, options) => {
        if (image === this.systemImage) return await this.#system.disk();
        if (image === hostImageName) throw noHostImage();
        return await this.#disks.prepare(image, { ...options, hold, registryAuth: plan.registryAuth });
      },
      hardening: this.#hardening,
      processLimits: this.#limits,
      limits: plan.limits,
      resolvConf: network.resolvConf,
      seccompFilter: this.#filter,
      startup: script === undefined ? null : { image: this.systemImage, script },
      // 0: the machine is not in the hierarchy that counts it.
      cpuMs: () => cgroup.cpuMs() || undefined,
      traffic: () => network.traffic(),
      reportDenied: () => network.reportDenied(),
      release: async () => {
        await release();
        hold[Symbol.dispose]();
        this.#pools.get(plan.owner)?.jobEnded();
      },
    });
  }
}

interface Place extends AsyncDisposable {
  readonly id: string;
  readonly dir: string;
}

interface PlannedVm extends VmPlan, AsyncDisposable {
  readonly diskBytes: number;
}

function jobFile({ path, content, executable }: ReadOnlyFile) {
  const mode = executable ? 0o555 : 0o444;
  return {
    place: "job-files",
    path: Buffer.from(path),
    mode,
    modifiedAt: undefined,
    content: Buffer.from(content),
  } as const;
}

function tooManyCpus(cpus: number): AirlockError {
  return refusedByPolicy(
    `the job has ${cpus} cores, but a virtual machine has at most ${maximumVmCpus}`,
    "Lower the job's resources.cpus, or EXECUTOR_JOB_NUM_CPUS for jobs without it.",
  );
}

function noHostImage(): AirlockError {
  return refusedByPolicy(
    'a virtual machine does not have the image "host"',
    "Use a container image, or an executor with the runtime docker or oci.",
  );
}

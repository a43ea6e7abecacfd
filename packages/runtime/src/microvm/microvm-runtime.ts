import { randomBytes } from "node:crypto";
import { mkdir, rm, stat } from "node:fs/promises";
import { totalmem } from "node:os";
import { isAbsolute, join } from "node:path";
import { AirlockError } from "@airlock/job";
import { checkLimits } from "../contract/check-limits.ts";
import {
  type Abortable,
  type Collected,
  type ReadOnlyFile,
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
import { type CopiedPlan, GuestStarts } from "./guest-starts.ts";
import { keepDisk } from "./keep-disk.ts";
import type { MicrovmRuntime, MicrovmRuntimeOptions } from "./microvm-runtime-options.ts";
import { MicrovmSandbox } from "./microvm-sandbox.ts";
import { maximumVmCpus } from "./monitor/maximum-vm-cpus.ts";
import { type RunningVm, slotBytes, type VmNetwork, type VmPlan } from "./monitor/vm-monitor.ts";
import { putGuestFiles } from "./put-guest-files.ts";
import { shortName } from "./short-name.ts";
import { defaultNamePrefix, machineName } from "./vm-names.ts";
import { openNetwork, openUnconnectedTap, type SandboxNetwork } from "./vm-networks.ts";

export type { MicrovmRuntime };

const mebibyte = 2 ** 20;
/** What the guest's kernel and agent need beside the job: measured 60 MiB with Debian's cloud kernel. */
const guestBytes = 128 * mebibyte;
/** The disk with the workspace is the first one. The others are slots for images. */
const workspaceDisk = 0;
const imageSlots = Array.from({ length: 12 }, (_, index) => index + 1);
/** The slot of the disk with Docker. A job that uses it has one image less, and all machines have the same shape. */
const dockerSlot = 12;
const bootMs = 60_000;
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
  readonly #filter: Buffer;
  readonly #docker: DockerDisk | { readonly problem: string };
  /** Ids of machines that are started only to be copied, by owner. Callers of `collect` don't know them. */
  readonly #copied = new Map<string, Set<string>>();

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
      const ways = { engines: this.#engines, bandwidth: this.#options.bandwidth ?? unlimited };
      const network = undo.use(await openNetwork(plan, ways, { signal }));
      const vmPlan = undo.use(await this.#makePlan(plan, network.device, signal));
      const vm = undo.use(await this.#startsOf(plan.owner).start(vmPlan, { signal }));
      const time = new Date();
      const agent = undo.use(await GuestAgent.connect(vm.stream, { signal, seed: randomBytes(32), time }));
      if (network.guest) await agent.setNetwork(network.guest, signal);
      agent.connection.serve(plan.services ?? []);
      await agent.mountWorkspace(workspaceDisk, vmPlan.diskBytes, signal);
      for (const file of plan.workspace.readOnlyFiles) await agent.putFile(jobFile(file), signal);
      await putGuestFiles(agent, plan.workspace.files, signal);
      if (plan.docker && !("problem" in docker)) {
        const { resolvConf, guest } = network;
        const start = { disk: dockerSlot, limits: plan.limits, resolvConf, mtu: guest?.mtu ?? null };
        await startDocker({ vm, agent }, docker.path, start, signal);
      }
      const sandbox = this.#sandbox(plan, { vmPlan, vm, agent, network });
      undo.move();
      return sandbox;
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      if (error instanceof AirlockError) throw error;
      throw runtimeFailed(`cannot create the sandbox ${plan.id}`, error);
    }
  }

  async collect({
    owner,
    keep,
    signal,
  }: { readonly owner: string; readonly keep: ReadonlySet<string> } & Abortable): Promise<Collected> {
    const machines = {
      owner,
      keep: new Set([...[...keep].map((id) => this.#machineName(id)), ...(this.#copied.get(owner) ?? [])]),
      signal,
      cgroupHost: this.#options.cgroupHost,
      directory: this.#ownersDirectory(owner),
      nameOf: shortName,
      collectNetworks: () => this.#engines.for(owner).collect({ keep, signal }),
    };
    return await collectMachines(machines);
  }

  async evictImages(options: Abortable): Promise<readonly string[]> {
    return [...(await this.#disks.evict(options)), ...(await this.#store.evict(options))];
  }

  async close(): Promise<void> {
    for (const starts of this.#starts.values()) await starts[Symbol.asyncDispose]();
    await this.#engines.close();
    await this.#disks.close();
    await this.#store.close();
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

  async #makePlan(
    { id: sandboxId, owner, limits, workspace }: SandboxPlan,
    network: VmNetwork | null,
    signal: AbortSignal,
  ): Promise<PlannedVm> {
    const id = this.#machineName(sandboxId);
    const place = await this.#openPlace(owner, id);
    try {
      const path = join(place.dir, "workspace.ext4");
      const { bytes } = await makeWorkspaceDisk({
        path,
        diskBytes: limits.diskBytes,
        checkout: workspace.checkout,
        signal,
      });
      return {
        id,
        dir: place.dir,
        guest: this.#options.guest,
        cpus: Math.max(1, Math.ceil(limits.cpus)),
        memoryBytes: machineMemory(limits.memoryBytes),
        disks: [{ path, readOnly: false }, ...imageSlots.map(() => null)],
        network,
        bootMs,
        diskBytes: bytes,
        [Symbol.asyncDispose]: async () => {
          const { keepDisksIn } = this.#options;
          if (keepDisksIn !== undefined) await keepDisk(path, join(keepDisksIn, `${sandboxId}.ext4`));
          await place[Symbol.asyncDispose]();
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
    const { dir } = made.use(await this.#openCopiedPlace(owner, id));
    const { dir: scratch } = made.use(await this.#openCopiedPlace(owner, `${id}-state`));
    const path = join(dir, "workspace.ext4");
    const { size } = await stat(like.disks[workspaceDisk]?.path ?? "");
    await makeWorkspaceDisk({ path, diskBytes: size, checkout: null, signal: new AbortController().signal });
    const disks = [{ path, readOnly: false }, ...imageSlots.map(() => null)];
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
    return { dir, [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }) };
  }

  /** As {@link #openPlace}, for a machine that is started only to be copied. */
  async #openCopiedPlace(owner: string, id: string): Promise<Place> {
    const copied = this.#copied.get(owner) ?? new Set();
    this.#copied.set(owner, copied);
    copied.add(id);
    const place = await this.#openPlace(owner, id);
    return {
      dir: place.dir,
      [Symbol.asyncDispose]: async () => {
        await place[Symbol.asyncDispose]();
        copied.delete(id);
      },
    };
  }

  #sandbox(plan: SandboxPlan, { vmPlan, vm, agent, network }: StartedVm): Sandbox {
    const hold = this.#disks.hold();
    const { startupScript: script } = this.#options;
    return new MicrovmSandbox({
      plan,
      vm,
      agent,
      imageSlots: plan.docker ? imageSlots.filter((slot) => slot !== dockerSlot) : imageSlots,
      docker: plan.docker ?? false,
      notes: [`a virtual machine with ${vmPlan.cpus} processors and a disk of its own`],
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
      reportDenied: () => network.reportDenied(),
      release: async () => {
        await vmPlan[Symbol.asyncDispose]();
        hold[Symbol.dispose]();
        await network[Symbol.asyncDispose]();
      },
    });
  }
}

interface StartedVm {
  readonly vmPlan: PlannedVm;
  readonly vm: RunningVm;
  readonly agent: GuestAgent;
  readonly network: SandboxNetwork;
}

interface Place extends AsyncDisposable {
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

/** The kernel refuses a machine that has more memory than this host. The job's limit may be larger. */
function machineMemory(limitBytes: number): number {
  const hostBytes = Math.floor(totalmem() / mebibyte) * mebibyte;
  return Math.min(roundUp(limitBytes + guestBytes, mebibyte), hostBytes);
}

function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}

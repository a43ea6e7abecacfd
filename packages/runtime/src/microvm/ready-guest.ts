import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { startDeadline } from "@airlock/async";
import { type Abortable, runtimeFailed, type SandboxPlan } from "../contract/index.ts";
import { type EmptyWorkspaceDisk, makeEmptyDisk } from "./disks/workspace-disk.ts";
import { GuestAgent } from "./guest/guest-agent.ts";
import type { MachineShape } from "./machine-shape.ts";
import type { RunningVm, VmNetwork, VmPlan } from "./monitor/vm-monitor.ts";
import type { SandboxNetwork } from "./vm-networks.ts";

/** The guest of a job: it has its network, and its workspace is mounted. */
export interface StartedGuest extends AsyncDisposable {
  /** Name of the machine on this host. One that waited keeps the name that it had then. */
  readonly machine: string;
  readonly vm: RunningVm;
  readonly agent: GuestAgent;
  readonly network: SandboxNetwork;
  /** Gives back what is on this host. Called when the machine has ended. Safe to call again after a failure. */
  readonly release: () => Promise<void>;
}

export interface ReadyGuestOptions extends Abortable {
  readonly shape: MachineShape;
  /** Opens the directory of the machine. */
  readonly openPlace: () => Promise<{ readonly id: string; readonly dir: string } & AsyncDisposable>;
  readonly openTap: () => Promise<VmNetwork & Disposable>;
  /** The rest of the machine's plan. */
  readonly machine: Pick<VmPlan, "guest" | "bootMs">;
  /** The disk slots behind the workspace's. */
  readonly slots: readonly null[];
  readonly start: (plan: VmPlan, options: Abortable) => Promise<RunningVm>;
  /** Makes the guest quicker for its job. */
  readonly rehearse: (vm: RunningVm, agent: GuestAgent) => Promise<void>;
}

interface ReadyGuestParts {
  readonly vm: RunningVm;
  readonly agent: GuestAgent;
  readonly disk: EmptyWorkspaceDisk;
  readonly tap: VmNetwork | null;
  /** Closes the files of disk and tap. */
  readonly files: AsyncDisposableStack;
  /** The machine's directory. */
  readonly place: { readonly id: string } & AsyncDisposable;
}

/** Waking takes milliseconds. A job must not wait much longer than for a machine of its own. */
const wakeMs = 5_000;

/** The guest's disk with the workspace. The others are slots for images. */
export const workspaceDisk = 0;

/**
 * A guest that waits for a job. It has greeted, has an empty disk that is not mounted, and a tap that leads nowhere. Its
 * processors are stopped, so it needs no more memory and no processor. Nothing of a job has been in it.
 */
export class ReadyGuest implements AsyncDisposable {
  readonly #parts: ReadyGuestParts;

  private constructor(parts: ReadyGuestParts) {
    this.#parts = parts;
  }

  /** @throws {AirlockError} reason `runtime`. */
  static async start({ shape, signal, ...options }: ReadyGuestOptions): Promise<ReadyGuest> {
    await using undo = new AsyncDisposableStack();
    const place = undo.use(await options.openPlace());
    const { id, dir } = place;
    const files = undo.use(new AsyncDisposableStack());
    const path = join(dir, "workspace.ext4");
    const disk = files.use(await makeEmptyDisk({ path, diskBytes: shape.diskBytes, signal }));
    const tap = shape.hasNetwork ? files.use(await options.openTap()) : null;
    const { cpus, memoryBytes } = shape;
    const disks = [{ path, readOnly: false }, ...options.slots];
    const plan = { ...options.machine, id, dir, cpus, memoryBytes, disks, network: tap };
    const vm = undo.use(await options.start(plan, { signal }));
    const seed = randomBytes(32);
    const agent = undo.use(await GuestAgent.connect(vm.stream, { signal, seed, time: new Date() }));
    await options.rehearse(vm, agent);
    await vm.pause({ signal });
    undo.move();
    return new ReadyGuest({ vm, agent, disk, tap, files, place });
  }

  /** Path of the disk with the workspace. */
  get diskPath(): string {
    return this.#parts.disk.path;
  }

  get ended(): Promise<unknown> {
    return this.#parts.vm.ended;
  }

  /**
   * Continues the guest with new random numbers and the time.
   * @throws {AirlockError} reason `runtime` when it does not answer. It can only be disposed then.
   */
  async wake({ signal: outer }: Abortable): Promise<void> {
    const { vm, agent } = this.#parts;
    const late = () => runtimeFailed(`a virtual machine that waited for a job did not wake within ${wakeMs} ms`);
    using deadline = startDeadline(wakeMs, late, outer);
    const { signal } = deadline;
    await vm.resume({ signal });
    await agent.reseed(randomBytes(32), new Date(), signal);
  }

  /**
   * Gives the guest to a job, after {@link wake}. The guest is disposed if this fails.
   * @param openNetwork Connects the guest's tap by the job's policy. `null`: the guest has no network device.
   */
  async giveTo(
    { workspace }: SandboxPlan,
    openNetwork: (tap: VmNetwork | null) => Promise<SandboxNetwork>,
    { signal }: Abortable,
  ): Promise<StartedGuest> {
    const { vm, agent, disk, tap, files, place } = this.#parts;
    await using undo = new AsyncDisposableStack();
    // Disposed in reverse order: the network after the machine.
    const networks = undo.use(new AsyncDisposableStack());
    undo.use(this);
    const connect = async () => {
      const network = networks.use(await openNetwork(tap));
      if (network.guest) await agent.setNetwork(network.guest, signal);
      return network;
    };
    const mount = async () => {
      await disk.fill(workspace.checkout, { signal });
      await agent.mountWorkspace(workspaceDisk, disk.bytes, signal);
    };
    const [network] = await together(connect(), mount());
    const kept = undo.move();
    return {
      machine: place.id,
      vm,
      agent,
      network,
      release: async () => {
        // Also after a failure: a directory that stays must not keep the network.
        await using _network = network;
        await using _place = place;
        await files.disposeAsync();
      },
      [Symbol.asyncDispose]: () => kept.disposeAsync(),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { vm, agent, files, place } = this.#parts;
    agent[Symbol.dispose]();
    await vm[Symbol.asyncDispose]();
    await files.disposeAsync();
    await place[Symbol.asyncDispose]();
  }
}

/** Waits for both before it fails, so that both have said what to undo. */
async function together<A, B>(a: Promise<A>, b: Promise<B>): Promise<readonly [A, B]> {
  await Promise.allSettled([a, b]);
  return [await a, await b];
}

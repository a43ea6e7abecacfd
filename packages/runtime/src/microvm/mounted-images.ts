import { refusedByPolicy } from "../contract/errors.ts";
import type { ImageDisk } from "./disks/image-disks.ts";
import type { GuestAgent } from "./guest/guest-agent.ts";
import type { RunningVm } from "./monitor/vm-monitor.ts";

export interface MountedImage extends ImageDisk {
  /** The guest's disk index. */
  readonly index: number;
}

/** The images of one guest. Each takes one of the guest's empty disk slots until the guest ends. */
export class MountedImages {
  readonly #vm: Pick<RunningVm, "attachImage">;
  readonly #agent: Pick<GuestAgent, "mountImage">;
  readonly #free: number[];
  readonly #slots: number;
  readonly #byPath = new Map<string, Promise<number>>();
  /** Slots are filled one after the other. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(vm: Pick<RunningVm, "attachImage">, agent: Pick<GuestAgent, "mountImage">, slots: readonly number[]) {
    this.#vm = vm;
    this.#agent = agent;
    this.#free = [...slots];
    this.#slots = slots.length;
  }

  /**
   * Mounts the image's disk in the guest, unless it is mounted.
   * @throws {AirlockError} reason `policy` when the job uses more images than the guest has slots.
   */
  async mount(disk: ImageDisk, signal: AbortSignal): Promise<MountedImage> {
    const known = this.#byPath.get(disk.path);
    if (known) return { ...disk, index: await known };
    const mounting = this.#last.then(() => this.#fill(disk, signal));
    this.#byPath.set(disk.path, mounting);
    this.#last = mounting.catch(() => this.#byPath.delete(disk.path));
    return { ...disk, index: await mounting };
  }

  async #fill({ path, type }: ImageDisk, signal: AbortSignal): Promise<number> {
    signal.throwIfAborted();
    const slot = this.#free.shift();
    if (slot === undefined) {
      throw refusedByPolicy(
        `the job uses more than ${this.#slots} images, which is the limit of one virtual machine`,
        "Use fewer images, or split the job.",
      );
    }
    // A slot whose filling fails stays taken: nobody knows what the guest sees in it.
    await this.#vm.attachImage(slot, path, { signal });
    await this.#agent.mountImage(slot, type, signal);
    return slot;
  }
}

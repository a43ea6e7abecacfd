import type { Duplex } from "node:stream";
import type { Abortable } from "../../contract/abortable.ts";

/** Size of an empty slot, and so of every image file that is attached to one. Image files are sparse. */
export const slotBytes = 64 * 2 ** 30;

/**
 * A program that runs virtual machines: Firecracker or QEMU. Everything above this interface is the same for both: the
 * guest's kernel, its agent, the disks and the network.
 */
export interface VmMonitor {
  readonly name: "firecracker" | "qemu";

  /** What runs the guest's instructions: the processor (`kvm`), or a program that translates them (`tcg`). */
  readonly accelerator: "kvm" | "tcg";

  /** The same monitor for the machines of another executor. */
  of(owner: string): VmMonitor;

  /** Absolute path of the program. */
  readonly program: string;

  /** Version of the program. */
  version(options: Abortable): Promise<string>;

  /**
   * Starts a virtual machine and waits until its agent has connected.
   * @throws {AirlockError} reason `runtime`, with the end of the console, when the guest does not come up within
   * `bootMs` or the monitor refuses the configuration; `signal.reason` when aborted. Nothing is left behind then.
   */
  boot(vm: VmPlan, options: Abortable): Promise<RunningVm>;

  /**
   * Starts a copy of the machine that the snapshot holds, and waits until it runs. The copy shares the random numbers
   * and the time of the original until its agent is told new ones.
   * @throws {AirlockError} as `boot` does; code `snapshot-unusable` when another version, processor or configuration
   * made the snapshot.
   */
  restore(snapshot: VmSnapshot, vm: VmPlan, options: Abortable): Promise<RunningVm>;
}

/**
 * One virtual machine. Its monitor runs without privileges. So kernel, initrd and read-only disks must be readable for
 * every user; the directories above them need not be. Images to attach are on the same file system as `dir`. The
 * monitor's user becomes the owner of `dir` and of the writable disks.
 */
export interface VmPlan {
  /** Unique on this machine. `[a-z0-9-]`, at most 60 characters. */
  readonly id: string;
  /** A directory for this machine alone. It exists and is empty. Its path has at most 90 bytes, because of sockets. */
  readonly dir: string;
  readonly guest: GuestFiles;
  readonly cpus: number;
  readonly memoryBytes: number;
  /** Paths of raw disk images, by the guest's disk index. The monitor does not notice if others write to them. `null`: an empty slot for `RunningVm.attachImage`. */
  readonly disks: readonly (VmDisk | null)[];
  /** `null`: no network device. */
  readonly network: VmNetwork | null;
  /** How long the guest may take until its agent connects, in ms. */
  readonly bootMs: number;
}

export interface GuestFiles {
  /** The kernel in the format that the monitor boots. */
  readonly kernel: string;
  /** The archive with the agent as `/init` and the kernel's modules. */
  readonly initrd: string;
}

export interface VmDisk {
  readonly path: string;
  readonly readOnly: boolean;
}

export interface VmNetwork {
  /** Path of the network namespace that has the tap. */
  readonly namespace: string;
  readonly tap: string;
  /** Address of the guest's device, as `02:00:00:00:00:01`. */
  readonly macAddress: string;
}

/** A machine's state on disk. Contains nothing of any job. */
export interface VmSnapshot {
  /** The directory that holds it. */
  readonly dir: string;
}

/** A running machine. Disposing ends the monitor, at once, and removes what it made outside of `VmPlan.dir`. */
export interface RunningVm extends AsyncDisposable {
  /** The byte stream to the guest's agent. Everything on it is hostile. */
  readonly stream: Duplex;

  /** Settles when the monitor's process has ended, for whatever reason. Never rejects. */
  readonly ended: Promise<VmEnd>;

  /**
   * Makes a read-only image available at an empty slot, which the guest can then mount. The image is sparse and exactly
   * as large as the slot (`slotBytes`). A slot takes one image.
   */
  attachImage(slot: number, path: string, options: Abortable): Promise<void>;

  /** Stops the machine's processors until {@link resume}. Its clocks stop, too. */
  pause(options: Abortable): Promise<void>;

  resume(options: Abortable): Promise<void>;

  /**
   * Writes the machine's state to an empty directory. The machine ends with it. Only for a machine whose stream was not
   * read yet: a copy's stream begins with the agent's greeting.
   */
  snapshot(dir: string, options: Abortable): Promise<VmSnapshot>;
}

export interface VmEnd {
  /** `null`: a signal ended it, or the monitor can't tell. */
  readonly exitCode: number | null;
  /** The last part of what the guest's kernel printed, at most 16 KiB, printable. */
  readonly console: string;
  /** What ended the machine, if the monitor knows that it was not the guest. Printable. */
  readonly cause: string | null;
}

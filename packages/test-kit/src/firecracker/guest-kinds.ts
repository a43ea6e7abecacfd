/**
 * What the kernel file of the stand-in holds: which guest runs in place of a virtual machine.
 * - `agent`: the guest agent, as process 1 of namespaces. `agent` is the path of its binary.
 * - `emulated`: the kernel file is a real kernel, which QEMU runs without KVM.
 * - `silent`: runs and never connects. `twice`: connects two times. `garbage`: sends no protocol.
 * - `panic`: crashes at once. `halt`: powers off at once. `flood`: prints without end.
 */
export type GuestKind =
  | { readonly kind: "agent"; readonly agent: string }
  | { readonly kind: "emulated" }
  | { readonly kind: "silent" | "twice" | "garbage" | "panic" | "halt" | "flood" };

export const kernelMagic = "stand-in kernel\n";
/** A disk of the stand-in begins with this, a line with the path of the directory that the guest sees, and zeros. */
export const diskMagic = "stand-in disk\n";

/** Messages to the process that runs guests. The guest's byte stream is a second connection. */
export type ToGuests =
  | { readonly start: { readonly agent: string | null; readonly disks: readonly (string | null)[] } }
  | { readonly disk: number; readonly directory: string | null }
  | { readonly emulate: EmulatedMachine }
  | { readonly image: number; readonly path: string }
  /** Writes the state of the emulated machine, which stands still then, into a file. */
  | { readonly save: string };

/** A machine for QEMU. Paths are relative to the stand-in's working directory. */
export interface EmulatedMachine {
  readonly kernel: string;
  readonly initrd: string;
  /** The kernel's arguments, with the agent's after `--`. */
  readonly args: string;
  readonly cpus: number;
  readonly memoryMib: number;
  readonly drives: readonly { readonly path: string; readonly isReadOnly: boolean }[];
  readonly network: { readonly tap: string; readonly mac: string } | null;
  /** File with the state of the machine that this one copies. */
  readonly state: string | null;
}

/**
 * `ended` is the exit code of the guest. `ready`: its stream can be connected. `answer` to a change of a
 * disk, or to `save`: empty, or why it failed.
 */
export interface FromGuests {
  readonly ended?: number;
  readonly console?: string;
  readonly ready?: true;
  readonly answer?: string;
}

/**
 * What the kernel file of the stand-in holds: which guest runs in place of a virtual machine.
 * - `agent`: the guest agent, as process 1 of namespaces. `agent` is the path of its binary.
 * - `silent`: runs and never connects. `twice`: connects two times. `garbage`: sends no protocol.
 * - `panic`: crashes at once. `halt`: powers off at once. `flood`: prints without end.
 */
export type GuestKind =
  | { readonly kind: "agent"; readonly agent: string }
  | { readonly kind: "silent" | "twice" | "garbage" | "panic" | "halt" | "flood" };

export const kernelMagic = "stand-in kernel\n";
/** A disk of the stand-in begins with this, a line with the path of the directory that the guest sees, and zeros. */
export const diskMagic = "stand-in disk\n";

/** Messages to the process that runs guests. The guest's byte stream is a second connection. */
export type ToGuests =
  | { readonly start: { readonly agent: string | null; readonly disks: readonly (string | null)[] } }
  | { readonly disk: number; readonly directory: string | null };

/** `ended` is the exit code of the guest's agent. */
export interface FromGuests {
  readonly ended: number;
}

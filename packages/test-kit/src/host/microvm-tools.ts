import { findExecutable } from "./find-executable.ts";

export interface MicrovmTools extends AsyncDisposable {
  readonly qemuPath: string;
}

/** Programs that build a guest and its disks, by their Debian package. */
const tools = [
  ["musl-gcc", "musl-tools"],
  ["mksquashfs", "squashfs-tools"],
  ["mkfs.erofs", "erofs-utils"],
  ["lz4", "lz4"],
  ["xz", "xz-utils"],
] as const;

/**
 * Finds what boots guests. The suites build the guest themselves.
 * @throws {Error} that says what is missing.
 */
export async function findMicrovmTools(): Promise<MicrovmTools> {
  if (process.getuid?.() !== 0) throw new Error("needs root");
  for (const [program, name] of tools) {
    if (!findExecutable(program)) throw new Error(`not installed: apt-get install -y ${name}`);
  }
  const qemuPath = findExecutable("qemu-system-x86_64");
  if (!qemuPath) throw new Error("not installed: apt-get install -y qemu-system-x86");
  return { qemuPath, [Symbol.asyncDispose]: async () => {} };
}

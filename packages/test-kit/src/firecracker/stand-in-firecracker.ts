import { open, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { diskMagic, type GuestKind, kernelMagic } from "./guest-kinds.ts";

/** Programs that behave as Firecracker and its jailer, for machines on which no virtual machine can run. */
export interface StandInPrograms {
  readonly firecracker: string;
  readonly jailer: string;
}

/**
 * Writes the programs into a directory. They last as long as it.
 * @param qemu Path of QEMU, which emulates the machines of guests that have a real kernel. Default: there are none.
 */
export async function standInFirecracker(directory: string, qemu = ""): Promise<StandInPrograms> {
  const programs = {
    firecracker: join(directory, "stand-in-firecracker"),
    jailer: join(directory, "stand-in-jailer"),
  };
  for (const [name, path] of Object.entries(programs)) {
    const main = join(import.meta.dirname, `stand-in-${name}-main.ts`);
    await writeFile(path, `#!/bin/sh\nexport STAND_IN_QEMU=${qemu}\nexec ${process.execPath} ${main} "$@"\n`, {
      mode: 0o755,
    });
  }
  return programs;
}

/** Writes a file that the stand-in takes for a kernel, and returns its path. */
export async function standInKernel(path: string, guest: GuestKind): Promise<string> {
  await writeFile(path, kernelMagic + JSON.stringify(guest), { mode: 0o644 });
  return path;
}

/** Writes a file that the stand-in takes for a disk, and returns its path. */
export async function standInDisk(path: string, content: string, bytes: number): Promise<string> {
  const file = await open(path, "wx", 0o644);
  await file.writeFile(`${diskMagic}${content}\n`);
  await file.close();
  await truncate(path, bytes);
  return path;
}

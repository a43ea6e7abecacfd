import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { type BuildGuestOptions, type BuiltGuest, buildGuestFiles } from "../guest/build/build-guest-files.ts";
import { fetchKernelPackage } from "../guest/build/fetch-kernel-package.ts";
import { makeGuestScratch } from "../guest/build/guest-scratch.ts";
import { downloadDockerPackages } from "./debian-packages.ts";
import { buildDockerDisk, type DockerDisk, findDockerDisk } from "./docker-disk.ts";

/**
 * Downloads Docker and makes its disk for the guest of a directory. The disk needs modules of the guest's kernel, so
 * this also makes the guest's files again if the distribution has a newer kernel. Does nothing that is done already.
 * @throws {AirlockError} reason `runtime` when packages can't be downloaded, or parts don't fit together.
 */
export async function makeDockerDisk(
  guest: BuiltGuest,
  options: BuildGuestOptions,
): Promise<{ readonly guest: BuiltGuest; readonly docker: DockerDisk }> {
  const { directory, signal } = options;
  const present = await findDockerDisk(directory, guest, { signal });
  if (present) return { guest, docker: present };
  const scratch = await makeGuestScratch(directory);
  try {
    const [kernel, packages] = [join(scratch, "kernel"), join(scratch, "packages")];
    await mkdir(kernel);
    await mkdir(packages);
    const { path: kernelPackage } = await fetchKernelPackage(kernel, options);
    const current = await buildGuestFiles({ ...options, kernelPackage });
    await downloadDockerPackages(packages, options);
    return { guest: current, docker: await buildDockerDisk({ directory, packages, kernelPackage, signal }) };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

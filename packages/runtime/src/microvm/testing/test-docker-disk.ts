import { copyFile, mkdir, mkdtemp, readdir, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { downloadDockerPackages } from "../docker/debian-packages.ts";
import {
  buildDockerDisk,
  copyDockerDisk,
  type DockerDisk,
  findDockerDisk,
  writeDockerDisk,
} from "../docker/docker-disk.ts";
import { testGuest, testKernelPackage } from "./test-guest.ts";

const buildMs = 240_000;

/**
 * The disk with Docker for the guest of the suites. Kept across runs like the guest itself, but not beside it, so that
 * other suites don't check it.
 */
export async function testDockerDisk(): Promise<DockerDisk> {
  const signal = AbortSignal.timeout(buildMs);
  const guest = await testGuest();
  const directory = join(dirname(guest.kernel), "docker");
  await mkdir(directory, { recursive: true });
  const present = await findDockerDisk(directory, guest, { signal });
  if (present) return present;
  const kernelPackage = await testKernelPackage();
  return await buildDockerDisk({ directory, packages: await testDockerPackages(directory), kernelPackage, signal });
}

async function testDockerPackages(cache: string): Promise<string> {
  const packages = join(cache, "packages");
  if ((await readdir(packages).catch(() => [])).length > 0) return packages;
  const scratch = await mkdtemp(join(cache, "download-"));
  try {
    await downloadDockerPackages(scratch, { signal: AbortSignal.timeout(buildMs) });
    // Whole at once: other test files look for it, too.
    await rm(packages, { recursive: true, force: true });
    await rename(scratch, packages);
    return packages;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** The same disk on the file system of a directory, because machines get disks by hard links. */
export async function testDockerDiskFor(directory: string): Promise<DockerDisk> {
  const disk = await testDockerDisk();
  if ((await stat(disk.path)).dev === (await stat(directory)).dev) return disk;
  const signal = AbortSignal.timeout(buildMs);
  const copied = await copyDockerDisk(dirname(disk.path), directory, await testGuest(), { signal });
  if (!copied) throw new Error("the disk with Docker is gone");
  return copied;
}

/** A disk whose containerd is a shell script. dockerd waits for it. */
export async function brokenDockerDisk(directory: string, script: string): Promise<DockerDisk> {
  const root = join(directory, "broken-docker");
  for (const name of ["bin", "usr/bin", "var/lib"]) await mkdir(join(root, name), { recursive: true });
  await copyFile("/bin/busybox", join(root, "bin/busybox"));
  await symlink("busybox", join(root, "bin/sh"));
  await writeFile(join(root, "usr/bin/containerd"), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  const path = join(directory, "broken-docker.ext4");
  const signal = AbortSignal.timeout(buildMs);
  const bytes = await writeDockerDisk(path, root, signal);
  return { path, manifest: { recipe: "", kernelPackage: "", packages: [], bytes, disk: "" } };
}

import { mkdir } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { AirlockError, isNoSpace } from "@airlock/job";
import {
  type BuiltGuest,
  buildGuestFiles,
  copyDockerDisk,
  copyGuestFiles,
  type DockerDisk,
  findGuestFiles,
  GuestHold,
  hasDockerDisk,
  makeDockerDisk,
  removeGuestScratch,
} from "@airlock/runtime/microvm";
import { installPackages, type PackageOptions } from "./install-packages.ts";
import { guestBuildPackages, microvmPackages, microvmTarget } from "./packages.ts";
import { untilStopped } from "./stop-signals.ts";

/** Where the guest's files come from. Neither: they are built, and the kernel is downloaded by apt-get. */
export interface GuestSource {
  /** A directory with files that this version of the executor built on another machine. */
  readonly from?: string;
  /** A kernel package (`.deb`) to build them with. */
  readonly kernelPackage?: string;
  /** Whether to make the disk for jobs with `services: docker` as well. Default: only if there is one already. */
  readonly docker?: boolean;
}

export interface InstallMicrovmOptions extends PackageOptions {
  readonly guestDir: string;
  readonly guest: GuestSource;
}

/**
 * Installs QEMU and makes the guest's kernel and initrd in `guestDir`. Does nothing that is done already.
 * @throws {AirlockError} `install-target` on a machine that can't run these guests or for contradictory options. As
 * {@link installPackages} does. Reason `runtime` when the files can't be made.
 */
export async function installMicrovm(options: InstallMicrovmOptions): Promise<void> {
  const { guestDir, guest, print } = options;
  if (process.arch !== "x64") {
    const hint = "Use EXECUTOR_RUNTIME=docker or oci on this machine.";
    throw new AirlockError(`virtual machines need linux/x64, not ${process.arch}`, { code: "install-target", hint });
  }
  if (guest.from !== undefined && guest.kernelPackage !== undefined) {
    const hint = `Files from a directory are complete. Run executor install ${microvmTarget} --from ${guest.from}`;
    throw new AirlockError("--from and --kernel-package exclude each other", { code: "install-target", hint });
  }
  const builds = guest.from === undefined;
  await installPackages(builds ? [...microvmPackages, ...guestBuildPackages] : microvmPackages, options);
  await makeDirectory(guestDir);
  await removeGuestScratch(guestDir);
  using hold = await GuestHold.ofAll(guestDir);
  const present = await findGuestFiles(guestDir);
  const { docker, guest: made } = await untilStopped("the guest's files were made", async (signal) =>
    addDocker(options, await makeFiles(options, present, signal), signal),
  );
  const isNew = present?.manifest.initrd !== made.manifest.initrd || present.manifest.kernel !== made.manifest.kernel;
  const { kernelPackage, kernel, initrd } = made.manifest;
  print(`${isNew ? "made" : "already there"}: the guest's files in ${guestDir}`);
  print(`  kernel  ${kernelPackage.name} ${kernelPackage.version}, SHA-256 ${kernel}`);
  print(`  initrd  SHA-256 ${initrd}`);
  if (docker) {
    const version = docker.manifest.packages.find(({ name }) => name === "docker.io")?.version;
    print(`  Docker  docker.io ${version}, SHA-256 ${docker.manifest.disk}`);
  }
  hold.narrow([made.kernel, made.initrd, ...(docker ? [docker.path] : [])]);
  for (const name of hold.removeUnused()) print(`removed: ${name} of an earlier installation`);
  print("Set EXECUTOR_RUNTIME=microvm, then check it: executor validate");
}

interface MadeGuest {
  readonly guest: BuiltGuest;
  /** `undefined`: nobody asked for it. */
  readonly docker: DockerDisk | undefined;
}

async function addDocker(options: InstallMicrovmOptions, made: BuiltGuest, signal: AbortSignal): Promise<MadeGuest> {
  const { guestDir, guest, proxyEnvironment, print } = options;
  const { from, kernelPackage, docker: isWanted = false } = guest;
  if (from !== undefined) {
    const docker = await copyDockerDisk(resolve(from), guestDir, made, { signal });
    if (docker || !isWanted) return { guest: made, docker };
    const hint = "Run executor install microvm --docker on the machine that it comes from.";
    throw new AirlockError(`${from} has no disk with Docker`, { code: "install-target", hint });
  }
  // A disk that was asked for once is kept up to date.
  if (!isWanted && !(await hasDockerDisk(guestDir))) return { guest: made, docker: undefined };
  print("preparing the disk with Docker");
  return await makeDockerDisk(made, {
    directory: guestDir,
    proxyEnvironment,
    signal,
    ...(kernelPackage === undefined ? {} : { kernelPackage: resolve(kernelPackage) }),
  });
}

async function makeFiles(
  { guest, guestDir, proxyEnvironment, print }: InstallMicrovmOptions,
  present: BuiltGuest | undefined,
  signal: AbortSignal,
): Promise<BuiltGuest> {
  if (guest.from !== undefined) return await copyGuestFiles(resolve(guest.from), guestDir);
  const { kernelPackage } = guest;
  if (!present) {
    print(
      kernelPackage === undefined
        ? "downloading a kernel and building the guest's files"
        : "building the guest's files",
    );
  }
  return await buildGuestFiles({
    directory: guestDir,
    proxyEnvironment,
    signal,
    ...(kernelPackage === undefined ? {} : { kernelPackage: resolve(kernelPackage) }),
  });
}

/** Makes the directory in the data directory, as the executor would make that. */
async function makeDirectory(guestDir: string): Promise<void> {
  try {
    await mkdir(dirname(guestDir), { recursive: true, mode: 0o711 });
    await mkdir(guestDir, { recursive: true, mode: 0o755 });
  } catch (cause) {
    throw new AirlockError(`the directory ${guestDir} cannot be made`, {
      code: isNoSpace(cause) ? "data-directory-full" : "data-directory-unusable",
      hint: "Run this as root, or set EXECUTOR_DATA_DIR to a directory that this user can write to.",
      cause,
    });
  }
}

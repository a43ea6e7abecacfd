import { mkdir } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { AirlockError, isNoSpace } from "@airlock/job";
import { type BuiltGuest, buildGuestFiles, copyGuestFiles, findGuestFiles } from "@airlock/runtime/microvm";
import { installPackages, type PackageOptions } from "./install-packages.ts";
import { guestBuildPackages, microvmPackages, microvmTarget } from "./packages.ts";
import { untilStopped } from "./stop-signals.ts";

/** Where the guest's files come from. Neither: they are built, and the kernel is downloaded by apt-get. */
export interface GuestSource {
  /** A directory with files that this version of the executor built on another machine. */
  readonly from?: string;
  /** A kernel package (`.deb`) to build them with. */
  readonly kernelPackage?: string;
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
  const present = await findGuestFiles(guestDir);
  const made = await untilStopped("the guest's files were made", (signal) => makeFiles(options, present, signal));
  const isNew = present?.manifest.initrd !== made.manifest.initrd || present.manifest.kernel !== made.manifest.kernel;
  const { kernelPackage, kernel, initrd } = made.manifest;
  print(`${isNew ? "made" : "already there"}: the guest's files in ${guestDir}`);
  print(`  kernel  ${kernelPackage.name} ${kernelPackage.version}, SHA-256 ${kernel}`);
  print(`  initrd  SHA-256 ${initrd}`);
  print("Set EXECUTOR_RUNTIME=microvm, then check it: executor validate");
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

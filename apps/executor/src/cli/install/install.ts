import { readFile } from "node:fs/promises";
import { AirlockError, closestWord } from "@airlock/job";
import { type GuestSource, installMicrovm } from "./install-microvm.ts";
import { installPackages, type PackageOptions } from "./install-packages.ts";
import { microvmTarget, notNeeded, refused, targets } from "./packages.ts";

export interface InstallOptions extends PackageOptions {
  readonly target: string;
  /** Directory for the files of virtual machines' guests. */
  readonly guestDir: string;
  readonly guest: GuestSource;
}

const systemDirectories = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/**
 * Installs what is missing of a target.
 * @throws {AirlockError} `install-target` if the target can't be installed here. As {@link installPackages} and
 * {@link installMicrovm} do.
 */
export async function install(options: InstallOptions): Promise<void> {
  const { target } = options;
  if (target === microvmTarget) return await installMicrovm(options);
  const [option] = Object.entries(options.guest).flatMap(([name, value]) => (value === undefined ? [] : [name]));
  if (option !== undefined) {
    const hint = "Leave it out, or run executor install microvm.";
    const shown = option === "kernelPackage" ? "--kernel-package" : `--${option}`;
    throw new AirlockError(`${shown} is only for the target ${microvmTarget}`, { code: "install-target", hint });
  }
  const reason = notNeeded[target];
  if (reason) return options.print(reason);
  const packages = targets[target];
  if (!packages) throw unknownTarget(target);
  await installPackages(packages, options);
}

/** Reads the file that names the distribution. */
export async function readOsRelease(): Promise<string> {
  return await readFile("/etc/os-release", "utf8").catch(() => "");
}

/**
 * The search path plus the system directories, because a service's PATH often lacks those of administration programs.
 */
export function installPath(path: string | undefined): string {
  return [...new Set([...(path ?? "").split(":").filter((part) => part.startsWith("/")), ...systemDirectories])].join(
    ":",
  );
}

function unknownTarget(target: string): AirlockError {
  const why = refused[target];
  if (why) return new AirlockError(why, { code: "install-target" });
  const known = [...Object.keys(targets), microvmTarget];
  const closest = closestWord(target, [...known, ...Object.keys(notNeeded), ...Object.keys(refused)]);
  return new AirlockError(`"${target}" can't be installed${closest ? `; did you mean ${closest}?` : ""}`, {
    code: "install-target",
    hint: `Targets: ${known.join(", ")}`,
  });
}

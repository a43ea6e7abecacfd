import { constants } from "node:fs";
import { access, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { AirlockError } from "@airlock/job";
import { ProgramError, runProgram } from "@airlock/process";
import { isStatic } from "@airlock/runtime/microvm";
import type { HostPackage } from "./packages.ts";
import { untilStopped } from "./stop-signals.ts";

export interface PackageOptions {
  /** Search path for programs. */
  readonly path: string;
  /** Variables of the proxies for apt-get. */
  readonly proxyEnvironment: Readonly<Record<string, string>>;
  readonly isRoot: boolean;
  /** Text of `/etc/os-release`; empty if the file does not exist. */
  readonly osRelease: string;
  readonly print: (line: string) => void;
}

/**
 * Installs those of the packages that are missing.
 * @throws {AirlockError} `install-manually` if this process may not install; the hint has the command. `install-failed`
 * if apt-get fails.
 */
export async function installPackages(packages: readonly HostPackage[], options: PackageOptions): Promise<void> {
  const missing = await missingPackages(packages, options.path);
  if (missing.length === 0) return options.print(`already installed: ${packages.map(({ name }) => name).join(", ")}`);
  if (!options.isRoot || !isDebian(options.osRelease)) throw manually(missing, options);
  options.print(`installing ${missing.join(", ")} (apt-get)`);
  const install = ["-qq", "install", "-y", "--no-install-recommends", ...missing];
  // A fresh machine has no package lists, and old lists name versions that no longer exist: then update and try again.
  if ((await apt(install, options)) === 0) return;
  await apt(["-qq", "update"], options);
  const code = await apt(install, options);
  if (code === 0) return;
  throw new AirlockError(`apt-get could not install ${missing.join(" ")} (exit code ${code})`, {
    code: "install-failed",
    hint: `See its output above, then try again: apt-get install ${missing.join(" ")}`,
  });
}

async function missingPackages(packages: readonly HostPackage[], path: string): Promise<string[]> {
  const missing: string[] = [];
  const inPath = (program: string) => path.split(":").map((directory) => join(directory, program));
  for (const wanted of packages) {
    if (!(await isThere(wanted, inPath))) missing.push(wanted.name);
  }
  return missing;
}

async function isThere(wanted: HostPackage, inPath: (program: string) => string[]): Promise<boolean> {
  if ("file" in wanted) return (await findFile([wanted.file], constants.R_OK)) !== undefined;
  if ("program" in wanted) return (await findFile(inPath(wanted.program), constants.X_OK)) !== undefined;
  const file = await findFile(inPath(wanted.staticProgram), constants.X_OK);
  return file !== undefined && isStatic(await readFile(file));
}

async function findFile(files: readonly string[], mode: number): Promise<string | undefined> {
  for (const file of files) {
    // Executing a program and searching a directory need the same permission, hence the `isFile` check.
    const found = await access(file, mode).then(
      async () => (await stat(file)).isFile(),
      () => false,
    );
    if (found) return file;
  }
  return undefined;
}

function isDebian(osRelease: string): boolean {
  return /^ID(?:_LIKE)?=.*\b(?:debian|ubuntu)\b/m.test(osRelease);
}

/** Runs apt-get, shows what it prints as it comes, and returns its exit code. */
async function apt(args: readonly string[], { path, proxyEnvironment }: PackageOptions): Promise<number> {
  try {
    const { exitCode } = await untilStopped("apt-get ran", (signal) =>
      runProgram(["apt-get", ...args], {
        env: { PATH: path, DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C.UTF-8", ...proxyEnvironment },
        signal,
        onStdout: (bytes) => void process.stdout.write(bytes),
        onStderr: (bytes) => void process.stderr.write(bytes),
      }),
    );
    return exitCode ?? 1;
  } catch (cause) {
    if (!(cause instanceof ProgramError)) throw cause;
    throw new AirlockError("apt-get cannot be run", { code: "install-failed", cause });
  }
}

const commands: readonly (readonly [family: RegExp, command: string])[] = [
  [/\b(?:debian|ubuntu)\b/, "apt-get install -y"],
  [/\b(?:fedora|rhel|centos)\b/, "dnf install -y"],
  [/\balpine\b/, "apk add"],
  [/\barch\b/, "pacman -S --noconfirm"],
  [/\bsuse\b/, "zypper install -y"],
];

function manually(missing: readonly string[], { isRoot, osRelease }: PackageOptions): AirlockError {
  const families = [...osRelease.matchAll(/^ID(?:_LIKE)?="?([^"\n]*)/gm)].map(([, ids]) => ids).join(" ");
  const command = commands.find(([family]) => family.test(families))?.[1];
  const why = isRoot ? "this command only installs packages of Debian and Ubuntu" : "installing needs root";
  return new AirlockError(`${missing.join(", ")} missing, and ${why}`, {
    code: "install-manually",
    hint: command
      ? `Run: ${isRoot ? "" : "sudo "}${command} ${missing.join(" ")}`
      : `Install ${missing.join(", ")} with the package manager of this system.`,
  });
}

import { constants } from "node:fs";
import { access, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { AirlockError, closestWord } from "@airlock/job";
import { ProgramError, runProgram } from "@airlock/process";
import { type HostPackage, notNeeded, refused, targets } from "./packages.ts";

export interface InstallOptions {
  readonly target: string;
  /** Search path for programs. */
  readonly path: string;
  /** Variables of the proxies for apt-get. */
  readonly proxyEnvironment: Readonly<Record<string, string>>;
  readonly isRoot: boolean;
  /** Text of `/etc/os-release`; empty if the file does not exist. */
  readonly osRelease: string;
  readonly print: (line: string) => void;
}

const systemDirectories = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/**
 * Installs the packages of a target that are missing.
 * @throws {AirlockError} `install-target` if the target can't be installed here.
 * `install-manually` if this process may not install; the hint has the command. `install-failed` if apt-get fails.
 */
export async function install(options: InstallOptions): Promise<void> {
  const { target } = options;
  const reason = notNeeded[target];
  if (reason) return options.print(reason);
  const packages = targets[target];
  if (!packages) throw unknownTarget(target);
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

/** Reads the file that names the distribution. */
export async function readOsRelease(): Promise<string> {
  return await readFile("/etc/os-release", "utf8").catch(() => "");
}

async function missingPackages(packages: readonly HostPackage[], path: string): Promise<string[]> {
  const missing: string[] = [];
  for (const { name, program } of packages) if (!(await isOn(path, program))) missing.push(name);
  return missing;
}

async function isOn(path: string, program: string): Promise<boolean> {
  for (const directory of path.split(":")) {
    const file = join(directory, program);
    // Executing a program and searching a directory need the same permission, hence the `isFile` check.
    const found = await access(file, constants.X_OK).then(
      async () => (await stat(file)).isFile(),
      () => false,
    );
    if (found) return true;
  }
  return false;
}

/**
 * The search path plus the system directories, because a service's PATH often lacks those of administration programs.
 */
export function installPath(path: string | undefined): string {
  return [...new Set([...(path ?? "").split(":").filter((part) => part.startsWith("/")), ...systemDirectories])].join(
    ":",
  );
}

function isDebian(osRelease: string): boolean {
  return /^ID(?:_LIKE)?=.*\b(?:debian|ubuntu)\b/m.test(osRelease);
}

/** Runs apt-get, shows what it prints as it comes, and returns its exit code. */
async function apt(args: readonly string[], { path, proxyEnvironment }: InstallOptions): Promise<number> {
  // apt-get has its own process group, so it does not get Ctrl-C from the terminal.
  const interrupted = new AbortController();
  const stop = (signal: NodeJS.Signals) => {
    interrupted.abort(new AirlockError(`stopped by ${signal} while apt-get ran`, { code: "install-failed" }));
  };
  for (const signal of stopSignals) process.once(signal, stop);
  try {
    const { exitCode } = await runProgram(["apt-get", ...args], {
      env: { PATH: path, DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C.UTF-8", ...proxyEnvironment },
      signal: interrupted.signal,
      onStdout: (bytes) => void process.stdout.write(bytes),
      onStderr: (bytes) => void process.stderr.write(bytes),
    });
    return exitCode ?? 1;
  } catch (cause) {
    if (!(cause instanceof ProgramError)) throw cause;
    throw new AirlockError("apt-get cannot be run", { code: "install-failed", cause });
  } finally {
    for (const signal of stopSignals) process.off(signal, stop);
  }
}

const stopSignals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

const commands: readonly (readonly [family: RegExp, command: string])[] = [
  [/\b(?:debian|ubuntu)\b/, "apt-get install -y"],
  [/\b(?:fedora|rhel|centos)\b/, "dnf install -y"],
  [/\balpine\b/, "apk add"],
  [/\barch\b/, "pacman -S --noconfirm"],
  [/\bsuse\b/, "zypper install -y"],
];

function manually(missing: readonly string[], { isRoot, osRelease }: InstallOptions): AirlockError {
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

function unknownTarget(target: string): AirlockError {
  const why = refused[target];
  if (why) return new AirlockError(why, { code: "install-target" });
  const closest = closestWord(target, [...Object.keys(targets), ...Object.keys(notNeeded), ...Object.keys(refused)]);
  return new AirlockError(`"${target}" can't be installed${closest ? `; did you mean ${closest}?` : ""}`, {
    code: "install-target",
    hint: `Targets: ${Object.keys(targets).join(", ")}`,
  });
}

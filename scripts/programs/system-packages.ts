import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";

/** A program that test suites need, and its Debian package. */
export interface SystemPackage {
  readonly name: string;
  /** The package counts as installed if any of these paths exists. */
  readonly paths: readonly string[];
}

/** Whether this process may install Debian packages: it is root on Debian, Ubuntu or a derivative. */
export function canInstall(): boolean {
  if (process.getuid?.() !== 0 || !existsSync("/usr/bin/apt-get") || !existsSync("/etc/os-release")) return false;
  const release = readFileSync("/etc/os-release", "utf8");
  return /^ID(?:_LIKE)?=.*\b(?:debian|ubuntu)\b/m.test(release);
}

export function missingPackages(packages: readonly SystemPackage[]): string[] {
  return packages.filter(({ paths }) => !paths.some((path) => existsSync(path))).map(({ name }) => name);
}

/** Installs Debian packages without prompts and without starting their services. Returns an error message, or null. */
export function installPackages(names: readonly string[]): string | null {
  const env = {
    ...process.env,
    DEBIAN_FRONTEND: "noninteractive",
    // invoke-rc.d reads this and starts no services. A running service would interfere with the tests' own engines.
    RUNLEVEL: "1",
  };
  const apt = (args: readonly string[]) => spawnSync("apt-get", ["-qq", ...args], { env, encoding: "utf8" });
  const install = ["install", "-y", "--no-install-recommends", ...names];
  let result = apt(install);
  if (result.status !== 0) {
    // Fresh machines may have no package lists, or outdated ones with versions that no longer exist.
    apt(["update"]);
    result = apt(install);
  }
  if (result.status === 0) return null;
  return (result.stderr || result.stdout || String(result.error)).trim().split("\n").slice(-3).join("\n");
}

import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { outputOf, ProgramError, systemEnvironment } from "@airlock/process";
import { runtimeFailed } from "../../contract/errors.ts";

/** A package of the distribution in a file. */
export interface PackageFile {
  readonly path: string;
  readonly name: string;
  readonly version: string;
  readonly sha256: string;
}

export interface DownloadOptions {
  readonly signal: AbortSignal;
  /** Variables of the proxies for apt-get. */
  readonly proxyEnvironment?: Readonly<Record<string, string>>;
}

const topPackage = "docker.io";
/** Programs and data that Docker uses. Other programs serve the packages' scripts, which never run here. */
const wanted = new Set([
  "containerd",
  "runc",
  "tini",
  "iptables",
  "netbase",
  "ca-certificates",
  "docker-cli",
  "docker-buildx",
]);
/** dpkg's own placeholders. */
const fieldsFormat = ["Package", "Version", "Architecture"].map((field) => `\${${field}}`).join(" ");
const downloadMs = 600_000;

/**
 * Downloads the distribution's Docker daemon, its client and the libraries of both into an empty directory with apt,
 * which checks their signatures.
 * @throws {AirlockError} reason `runtime`
 */
export async function downloadDockerPackages(directory: string, options: DownloadOptions): Promise<void> {
  const { signal, proxyEnvironment = {} } = options;
  const env = { ...systemEnvironment, DEBIAN_FRONTEND: "noninteractive", ...proxyEnvironment };
  const run = (command: readonly string[]) => outputOf(command, { cwd: directory, env, signal, timeoutMs: downloadMs });
  // apt would otherwise complain that its own user can't write to this directory.
  const apt = (...args: readonly string[]) => run(["apt-get", "-qq", "-o", "APT::Sandbox::User=root", ...args]);
  const attempt = async () => {
    const names = await packageNames((pending) => run(["apt-cache", "depends", ...pending]));
    await apt("download", ...names);
  };
  signal.throwIfAborted();
  try {
    await attempt().catch(async (error: unknown) => {
      signal.throwIfAborted();
      // The package lists are missing or outdated.
      if (process.getuid?.() !== 0) throw error;
      await apt("update");
      await attempt();
    });
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof ProgramError)) throw error;
    const hint =
      "Install it on a machine that reaches the distribution's packages, and copy the directory: executor install microvm --from DIRECTORY";
    throw runtimeFailed("the packages of Docker can't be downloaded with apt-get", error, hint);
  }
}

/** Names of the package of Docker and of what it uses, sorted. */
async function packageNames(depends: (names: readonly string[]) => Promise<string>): Promise<readonly string[]> {
  const known = new Set<string>();
  for (let pending = [topPackage]; pending.length > 0; ) {
    for (const name of pending) known.add(name);
    pending = [...new Set(dependencies(await depends(pending)))].filter((name) => !known.has(name));
  }
  return [...known].sort();
}

const dependencyPattern = /^ ([ |])(PreDepends|Depends|Recommends): ([a-z0-9][a-z0-9+.-]*)(?::\S+)?$/;

/** What the output of `apt-cache depends` says is used. Of alternatives, the first counts. */
export function dependencies(listing: string): readonly string[] {
  const names: string[] = [];
  let isAlternative = false;
  for (const line of listing.split("\n")) {
    const [, bar, kind, name = ""] = dependencyPattern.exec(line) ?? [];
    const isUsed = wanted.has(name) || (name.startsWith("lib") && kind !== "Recommends");
    if (isUsed && !isAlternative) names.push(name);
    if (bar !== undefined) isAlternative = bar === "|";
  }
  return names;
}

/**
 * Reads which packages a directory has, sorted by name.
 * @throws {AirlockError} reason `runtime` when one of the files is not a package for this architecture.
 */
export async function packageFiles(directory: string, signal: AbortSignal): Promise<readonly PackageFile[]> {
  const files: PackageFile[] = [];
  for (const entry of (await readdir(directory)).filter((name) => name.endsWith(".deb")).sort()) {
    const path = join(directory, entry);
    const command = ["dpkg-deb", "--show", `--showformat=${fieldsFormat}`, path];
    const fields = await outputOf(command, { env: systemEnvironment, signal, timeoutMs: downloadMs });
    const [name = "", version = "", architecture] = fields.split(" ");
    if (architecture !== "amd64" && architecture !== "all") {
      throw runtimeFailed(`${path} is a package for ${architecture}, not for amd64`);
    }
    const sha256 = createHash("sha256")
      .update(await readFile(path))
      .digest("hex");
    files.push({ path, name, version, sha256 });
  }
  if (!files.some(({ name }) => name === topPackage))
    throw runtimeFailed(`${directory} lacks the package ${topPackage}`);
  return files;
}

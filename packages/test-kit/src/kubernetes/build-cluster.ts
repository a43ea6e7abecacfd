import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { access, mkdir, open, readdir, readFile, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { onAbort } from "@airlock/async";
import { cacheDirectory } from "./cache-directory.ts";
import { findGo, type Go, goEnvironment } from "./find-go.ts";

const source = fileURLToPath(new URL("cluster", import.meta.url));
const unusedMs = 30 * 24 * 3600_000;

/** One build at a time, because each needs both processors for minutes. Waiting builds find the finished program. */
const script = `
[ -x "$program" ] || { nice -n 19 "$go" build -trimpath -ldflags "$flags" -o "$program.making" . && mv "$program.making" "$program"; }
`;

/**
 * Builds the program of the test cluster, unless an earlier run has. The first build on a machine takes minutes. The
 * result is kept in the user's cache directory, outside of this project.
 * @returns the absolute path of the program.
 * @throws {Error} with the end of Go's output, or that says what is missing.
 */
export async function buildCluster({ signal }: { readonly signal: AbortSignal }): Promise<string> {
  const go = await findGo();
  const cache = join(cacheDirectory(), "airlock-test-cluster");
  const directory = join(cache, await keyOf(go));
  await mkdir(directory, { recursive: true });
  const now = new Date();
  await utimes(directory, now, now);
  await removeUnused(cache);
  const program = join(directory, "test-cluster");
  if (!(await exists(program))) await build(go, { program, cache, signal });
  return program;
}

interface BuildPlan {
  readonly program: string;
  readonly cache: string;
  readonly signal: AbortSignal;
}

async function build(go: Go, { program, cache, signal }: BuildPlan): Promise<void> {
  const logPath = `${program}.log`;
  await using log = await open(logPath, "w");
  const flags = `-s -w ${versionFlags(await readFile(join(source, "go.mod"), "utf8"))}`;
  const child = spawn("flock", [join(cache, "lock"), "sh", "-c", script], {
    cwd: source,
    env: { ...goEnvironment(), go: go.path, program, flags },
    stdio: ["ignore", log.fd, log.fd],
    // A process group of its own, so that an abort ends Go's compilers, too.
    detached: true,
  });
  const ended = once(child, "close");
  await once(child, "spawn");
  const { pid = 0 } = child;
  using _ = onAbort(signal, () => process.kill(-pid, "SIGKILL"));
  const [code] = (await ended) as [number | null];
  signal.throwIfAborted();
  if (code === 0) return;
  const said = (await readFile(logPath, "utf8")).trim().split("\n").slice(-5).join("\n");
  throw new Error(`Go could not build the test cluster: ${said}`);
}

/** The components report the version that they are built from. */
function versionFlags(module: string): string {
  const [, version = "", major, minor] = /k8s\.io\/kubernetes (v(\d+)\.(\d+)\.\S+)/.exec(module) ?? [];
  return ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"]
    .flatMap((name) => [`${name}.gitVersion=${version}`, `${name}.gitMajor=${major}`, `${name}.gitMinor=${minor}`])
    .map((setting) => `-X ${setting}`)
    .join(" ");
}

async function keyOf({ version }: Go): Promise<string> {
  const hash = createHash("sha256").update(version);
  for (const name of (await readdir(source)).sort()) hash.update(name).update(await readFile(join(source, name)));
  return hash.digest("hex").slice(0, 16);
}

/** Removes programs that no run has used for a month. They belong to earlier versions of the source. */
async function removeUnused(cache: string): Promise<void> {
  for (const entry of await readdir(cache, { withFileTypes: true })) {
    const path = join(cache, entry.name);
    if (!entry.isDirectory() || Date.now() - (await stat(path)).mtimeMs < unusedMs) continue;
    await rm(path, { recursive: true, force: true });
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

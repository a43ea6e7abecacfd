import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { access, mkdir, mkdtemp, open, readdir, readFile, realpath, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { onAbort } from "@airlock/async";
import { errorMessage } from "@airlock/job";
import { findExecutable } from "../host/find-executable.ts";
import { debianFiles } from "./debian-files.ts";
import { type NodeFiles, writeDebianImages } from "./debian-image.ts";
import { type DebianMirror, findDebianMirror } from "./debian-mirror.ts";

export interface DebianEngine extends AsyncDisposable {
  readonly directory: string;
}

const script = fileURLToPath(new URL("build-debian-root.sh", import.meta.url));
const recipe = fileURLToPath(new URL("debian-image.ts", import.meta.url));
/** Kept across runs, because a build takes a minute. */
const cache = fileURLToPath(new URL("../../../../node_modules/.cache/airlock-debian/", import.meta.url));

const tools = ["ca-certificates", "git", "make", "gcc", "libc6-dev", "strace", "libcap2-bin"];
const python = ["python3", "python3-pip", "python3-venv", "python3-wheel-whl"];
/**
 * Packages for jobs to install: a plain program, one with a user and a setgid program, setuid programs, file
 * capabilities.
 */
const served = ["tree", "cron", "dbus", "sudo", "iputils-ping"];

/**
 * Finds the Debian images of an earlier run or starts to build them. The build may still be running, or fail, after
 * this has resolved.
 * @throws {Error} when they can't be built: without root, debootstrap, npm or a mirror.
 */
export async function startDebianEngine(): Promise<DebianEngine> {
  if (process.getuid?.() !== 0) throw new Error("needs root");
  if (!findExecutable("debootstrap")) throw new Error("not installed: apt-get install -y debootstrap");
  const mirror = await findDebianMirror();
  const node = await findNode();
  const directory = join(cache, await keyOf(mirror, node));
  const { ready, failure } = debianFiles(directory);
  if (await exists(ready)) return { directory, [Symbol.asyncDispose]: async () => {} };

  await mkdir(cache, { recursive: true });
  const stop = new AbortController();
  // Processes that wait for the build read there why it failed.
  await rm(failure, { force: true });
  const building = build(directory, { mirror, node, signal: stop.signal }).catch(async (error) => {
    if (!stop.signal.aborted) await writeFile(failure, errorMessage(error));
  });
  return {
    directory,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await building;
    },
  };
}

interface BuildPlan {
  readonly mirror: DebianMirror;
  readonly node: NodeFiles;
  readonly signal: AbortSignal;
}

async function build(directory: string, { mirror, node, signal }: BuildPlan): Promise<void> {
  await removeOthers(directory);
  const making = await mkdtemp(join(cache, `making-${process.pid}-`));
  try {
    const root = join(making, "root");
    const { images, packages } = debianFiles(making);
    await makeRoot([root, packages, mirror.suite, mirror.url, mirror.components], making, signal);
    await writeDebianImages(images, { root, node, signal });
    await writeFile(debianFiles(making).ready, "");
    await rename(making, directory).catch(async (error: NodeJS.ErrnoException) => {
      // Another run has built the same meanwhile.
      if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
    });
  } finally {
    await rm(making, { recursive: true, force: true });
  }
}

/** Runs in a separate mount and pid namespace, so that everything that it mounts and starts ends with it. */
async function makeRoot(args: readonly string[], directory: string, signal: AbortSignal): Promise<void> {
  const logPath = join(directory, "log");
  await using log = await open(logPath, "w");
  const isolated = ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
  const words = [...args, [...tools, ...python].join(","), served.join(" ")];
  const child = spawn("unshare", [...isolated, "sh", script, ...words], {
    stdio: ["ignore", log.fd, log.fd],
    env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" },
    detached: true,
  });
  using _ = onAbort(signal, () => child.kill("SIGKILL"));
  const [code] = (await once(child, "close")) as [number | null];
  signal.throwIfAborted();
  if (code === 0) return;
  const said = (await readFile(logPath, "utf8")).trim().split("\n").slice(-5).join("\n");
  throw new Error(`debootstrap failed (${code}): ${said}`);
}

/** Removes everything else from the cache: it belongs to earlier recipes or to killed runs. */
async function removeOthers(directory: string): Promise<void> {
  for (const name of await readdir(cache)) {
    const [, pid] = /^making-(\d+)-/.exec(name) ?? [];
    const isAlive = pid !== undefined && (await exists(`/proc/${pid}`));
    if (!isAlive && join(cache, name) !== directory) await rm(join(cache, name), { recursive: true, force: true });
  }
}

/**
 * Finds the Node program that runs this, and an npm: the one that runs the tests, the one beside Node, or the
 * machine's.
 */
async function findNode(): Promise<NodeFiles> {
  const program = await realpath(process.execPath);
  const beside = join(dirname(program), "..", "lib", "node_modules", "npm");
  const installed = findExecutable("npm");
  const linked = installed === undefined ? [] : [dirname(dirname(await realpath(installed)))];
  for (const npm of [...npmOfParents(), beside, ...linked, "/usr/share/nodejs/npm"]) {
    if (await exists(join(npm, "bin", "npm-cli.js"))) return { program, npm };
  }
  throw new Error("npm not found");
}

/** npm sets this variable for the scripts that it runs. */
function npmOfParents(): string[] {
  const { npm_execpath: path } = process.env;
  return path ? [dirname(dirname(path))] : [];
}

async function keyOf(mirror: DebianMirror, { npm }: NodeFiles): Promise<string> {
  const hash = createHash("sha256").update(JSON.stringify([mirror, tools, python, served, process.version]));
  for (const file of [script, recipe, join(npm, "package.json")]) hash.update(await readFile(file));
  return hash.digest("hex").slice(0, 16);
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

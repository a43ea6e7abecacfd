import { createHash } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { AirlockError } from "@airlock/job";
import { z } from "zod";
import { runtimeFailed } from "../../../contract/errors.ts";
import type { GuestFiles } from "../../monitor/vm-monitor.ts";
import { agentSources, buildAgent } from "../build-agent.ts";
import { cpioArchive } from "./cpio-archive.ts";
import { extractKernelPackage } from "./extract-kernel-package.ts";
import { extractVmlinux } from "./extract-vmlinux.ts";
import { fetchKernelPackage } from "./fetch-kernel-package.ts";
import { makeGuestScratch, removeGuestScratch } from "./guest-scratch.ts";
import { moduleFiles } from "./module-files.ts";

export interface BuildGuestOptions {
  readonly signal: AbortSignal;
  /** Where the files are kept. Created if missing. Other files in it are left alone. */
  readonly directory: string;
  /** A kernel package (`.deb`) to use instead of the distribution's current one. Nothing is downloaded then. */
  readonly kernelPackage?: string;
  /** Variables of the proxies for apt-get. */
  readonly proxyEnvironment?: Readonly<Record<string, string>>;
}

/** What the guest needs before it can mount disks and reach the host. The kernel has no memory for the rest. */
const modules = [
  "virtio_mmio",
  "virtio_console",
  "vmw_vsock_virtio_transport",
  "virtio_blk",
  "virtio_rng",
  "virtio_net",
  "overlay",
  "erofs",
  "squashfs",
  "ext4",
];
/** Changes when the same parts are put together in another way. */
const recipe = 2;

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const manifestSchema = z.object({
  recipe: sha256,
  kernelPackage: z.object({ name: z.string(), version: z.string(), sha256 }),
  compiler: z.string(),
  agent: sha256,
  kernel: sha256,
  initrd: sha256,
});
type Manifest = z.infer<typeof manifestSchema>;

/** The guest's kernel and initrd. */
export interface BuiltGuest extends GuestFiles {
  /** Where both came from, with checksums. */
  readonly manifest: Manifest;
}

/**
 * Makes the guest's kernel and initrd from the distribution's kernel package and the agent's sources. The same package
 * and compiler make the same bytes. A directory that holds the files already is only checked, so it needs no network.
 * @throws {AirlockError} reason `runtime` when the package can't be downloaded, or parts don't fit together.
 */
export async function buildGuestFiles(options: BuildGuestOptions): Promise<BuiltGuest> {
  const { directory, signal } = options;
  const present = await findGuestFiles(directory);
  if (present && (await isFrom(options.kernelPackage, present.manifest))) return present;
  await mkdir(directory, { recursive: true });
  await removeGuestScratch(directory);
  const scratch = await makeGuestScratch(directory);
  try {
    const { path, ...kernelPackage } = await fetchKernelPackage(scratch, options);
    const { kernel, initrd, ...built } = await assemble(path, scratch, signal);
    const manifest: Manifest = {
      recipe: await recipeOf(),
      kernelPackage,
      ...built,
      kernel: checksum(kernel),
      initrd: checksum(initrd),
    };
    return await writeGuestFiles(directory, { manifest, kernel, initrd });
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/**
 * Copies guest files that were built on another machine.
 * @throws {AirlockError} reason `runtime` when the source has none of this version, or a file was changed.
 */
export async function copyGuestFiles(source: string, directory: string): Promise<BuiltGuest> {
  const { kernel, initrd, manifest } = await openGuestFiles(source, copyHint);
  await mkdir(directory, { recursive: true });
  const copied = await writeGuestFiles(directory, {
    manifest,
    kernel: await readFile(kernel),
    initrd: await readFile(initrd),
  });
  // Checks the bytes that were written, in case the source changed meanwhile.
  await openGuestFiles(directory);
  return copied;
}

/**
 * Opens the guest files of a directory without building any.
 * @throws {AirlockError} reason `runtime` when they are missing, of another version, or changed.
 */
export async function openGuestFiles(directory: string, hint = installHint): Promise<BuiltGuest> {
  const present = await readGuestFiles(directory);
  if (!present) {
    throw runtimeFailed(`${directory} has no files for the guests of virtual machines`, undefined, hint);
  }
  if (present.manifest.recipe === (await recipeOf())) return present;
  throw runtimeFailed(`the guest's files in ${directory} belong to another version of the executor`, undefined, hint);
}

/** Returns the guest files of a directory; `undefined` when they are missing, damaged or of another version. */
export async function findGuestFiles(directory: string): Promise<BuiltGuest | undefined> {
  const present = await readGuestFiles(directory).catch((error: unknown) => {
    if (error instanceof DamagedFile) return undefined;
    throw error;
  });
  return present?.manifest.recipe === (await recipeOf()) ? present : undefined;
}

/** A file that must be made again. */
class DamagedFile extends AirlockError {
  constructor(path: string, problem: string, cause?: unknown) {
    super(`${path} ${problem}`, { code: "runtime", reason: "runtime", cause, hint: installHint });
  }
}

const installHint = "Run as root: executor install microvm";
const copyHint =
  "Name the directory guest of EXECUTOR_DATA_DIR, copied from a machine with the same version of the executor.";

interface GuestContents {
  readonly manifest: Manifest;
  readonly kernel: Buffer;
  readonly initrd: Buffer;
}

async function writeGuestFiles(directory: string, { manifest, kernel, initrd }: GuestContents): Promise<BuiltGuest> {
  // The manifest comes last: it vouches for the other files, which carry their checksums in their names.
  const paths = pathsOf(directory, manifest);
  const contents: readonly (readonly [string, string | Buffer])[] = [
    [paths.kernel, kernel],
    [paths.initrd, initrd],
    [join(directory, manifestName), JSON.stringify(manifest, null, 2)],
  ];
  const scratch = await makeGuestScratch(directory);
  try {
    for (const [path, content] of contents) {
      await writeFile(join(scratch, "new"), content, { mode: 0o644 });
      await rename(join(scratch, "new"), path);
    }
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  return { ...paths, manifest };
}

/**
 * Reads which guest files a directory holds, and checks them. `undefined`: none, or incomplete ones.
 * @throws {DamagedFile} when a file was changed. {AirlockError} reason `runtime` when one can't be read.
 */
async function readGuestFiles(directory: string): Promise<BuiltGuest | undefined> {
  const path = join(directory, manifestName);
  const text = await readIfThere(path);
  if (text === undefined) return undefined;
  const parsed = manifestSchema.safeParse(parseJson(path, text));
  // An older version wrote it.
  if (!parsed.success) return undefined;
  const manifest = parsed.data;
  const paths = pathsOf(directory, manifest);
  for (const name of ["kernel", "initrd"] as const) {
    const content = await readIfThere(paths[name]);
    if (content === undefined) return undefined;
    if (checksum(content) === manifest[name]) continue;
    throw new DamagedFile(paths[name], "is damaged: it does not have the checksum of its manifest");
  }
  return { ...paths, manifest };
}

const manifestName = "guest.json";

function pathsOf(directory: string, { kernel, initrd }: Pick<Manifest, "kernel" | "initrd">): GuestFiles {
  return {
    kernel: join(directory, `vmlinux-${kernel.slice(0, 16)}`),
    initrd: join(directory, `initrd-${initrd.slice(0, 16)}.cpio`),
  };
}

async function isFrom(kernelPackage: string | undefined, manifest: Manifest): Promise<boolean> {
  return kernelPackage === undefined || checksum(await readFile(kernelPackage)) === manifest.kernelPackage.sha256;
}

/** Puts kernel and initrd together from the package at `path`. */
async function assemble(path: string, scratch: string, signal: AbortSignal) {
  const { vmlinuz, modulesDirectory } = await extractKernelPackage(path, join(scratch, "root"), signal);
  const kernel = await extractVmlinux(await readFile(vmlinuz), signal);
  const loaded = await moduleFiles(modules, modulesDirectory);
  const agent = join(scratch, "agent");
  const { compiler, sha256 } = await buildAgent({ output: agent, signal });
  const list = loaded.map(({ name }) => `${name}.ko\n`).join("");
  const initrd = cpioArchive([
    { path: "init", mode: 0o755, content: await readFile(agent) },
    { path: "modules", mode: 0o755, content: null },
    { path: "modules/list", mode: 0o644, content: Buffer.from(list) },
    ...loaded.map(({ name, content }) => ({ path: `modules/${name}.ko`, mode: 0o644, content })),
  ]);
  return { kernel, initrd, agent: sha256, compiler };
}

/** Identifies the sources that make the initrd, so that a new version of the executor builds it again. */
async function recipeOf(): Promise<string> {
  const hash = createHash("sha256").update(JSON.stringify({ recipe, modules }));
  for (const source of await agentSources()) hash.update(`\0${basename(source)}\0`).update(await readFile(source));
  return hash.digest("hex");
}

function checksum(content: Buffer): string {
  return createHash("sha256").update(content).digest("hex");
}

function parseJson(path: string, text: Buffer): unknown {
  try {
    return JSON.parse(text.toString());
  } catch (error) {
    throw new DamagedFile(path, "is damaged: it is not JSON", error);
  }
}

async function readIfThere(path: string): Promise<Buffer | undefined> {
  return await readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    const hint = "Check the disk, and that EXECUTOR_DATA_DIR names the executor's directory.";
    throw runtimeFailed(`the guest's file ${path} can't be read`, error, hint);
  });
}

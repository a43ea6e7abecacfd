import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { chmod, open, readFile, rename, rm, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { z } from "zod";
import type { Abortable } from "../../contract/index.ts";
import { runtimeFailed } from "../../contract/index.ts";
import { errorCode } from "../../host/error-code.ts";
import { latin1 } from "../../images/unpack/layer-stack.ts";
import { Ext4Disk } from "../disks/ext4/ext4-disk.ts";
import { fillDisk } from "../disks/fill-disk.ts";
import type { BuiltGuest } from "../guest/build/build-guest-files.ts";
import { makeGuestScratch } from "../guest/build/guest-scratch.ts";
import { slotBytes } from "../monitor/vm-monitor.ts";
import { assembleDockerRoot, dockerRootParts } from "./assemble-docker-root.ts";
import { packageFiles } from "./debian-packages.ts";

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const packageSchema = z.object({ name: z.string(), version: z.string(), sha256 });
const manifestSchema = z.object({
  recipe: sha256,
  /** SHA-256 of the package whose kernel loads the disk's modules. */
  kernelPackage: sha256,
  packages: z.array(packageSchema),
  /** Size of what the file system uses of the disk. Everything behind it is a hole. */
  bytes: z.int().positive(),
  /** Of these bytes. */
  disk: sha256,
});
type DockerManifest = z.infer<typeof manifestSchema>;

/** The disk with the Docker daemon, its client and the kernel's modules for its networks. Guests mount it read-only. */
export interface DockerDisk {
  readonly path: string;
  readonly manifest: DockerManifest;
}

export interface BuildDockerDiskOptions {
  readonly signal: AbortSignal;
  /** The directory of the guest's files, which receives the disk. */
  readonly directory: string;
  /** A directory with packages, from `downloadDockerPackages`. */
  readonly packages: string;
  /** The kernel package of the guest. */
  readonly kernelPackage: string;
}

/** Changes when the same parts are put together in another way. */
const recipeVersion = 1;
const manifestName = "docker.json";
const guestRoot = { uid: 0, gid: 0 };
const installHint = "Run as root: executor install microvm --docker";
export const dockerNotInstalled = `Docker for virtual machines is not installed. ${installHint}.`;

/**
 * Makes the disk from packages.
 * @throws {AirlockError} reason `runtime` when a package lacks what the daemon needs.
 */
export async function buildDockerDisk(options: BuildDockerDiskOptions): Promise<DockerDisk> {
  const { directory, kernelPackage, signal } = options;
  const packages = await packageFiles(options.packages, signal);
  const scratch = await makeGuestScratch(directory);
  try {
    const root = join(scratch, "root");
    await assembleDockerRoot(root, { packages, kernelPackage, signal });
    const path = join(scratch, "disk");
    const bytes = await writeDockerDisk(path, root, signal);
    const manifest: DockerManifest = {
      recipe: recipe(),
      kernelPackage: createHash("sha256")
        .update(await readFile(kernelPackage))
        .digest("hex"),
      packages: packages.map(({ name, version, sha256: checksum }) => ({ name, version, sha256: checksum })),
      bytes,
      disk: await checksumOf(createReadStream(path, { end: bytes - 1 }), signal),
    };
    return await publish(directory, path, manifest);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/**
 * Copies the disk that another machine has made. `undefined`: the source has none.
 * @throws {AirlockError} reason `runtime` as {@link openDockerDisk} does.
 */
export async function copyDockerDisk(
  source: string,
  directory: string,
  guest: BuiltGuest,
  { signal }: Abortable,
): Promise<DockerDisk | undefined> {
  const present = await openDockerDisk(source, guest, { signal });
  if (!present) return undefined;
  const scratch = await makeGuestScratch(directory);
  try {
    const path = join(scratch, "disk");
    const { bytes } = present.manifest;
    const target = await open(path, "wx", 0o600);
    await pipeline(createReadStream(present.path, { end: bytes - 1 }), target.createWriteStream(), { signal });
    await truncate(path, slotBytes);
    await chmod(path, 0o444);
    await publish(directory, path, present.manifest);
    // Checks the bytes that were written, in case the source changed meanwhile.
    return await openDockerDisk(directory, guest, { signal });
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/**
 * Returns the disk of a directory; `undefined` when it is missing, or belongs to another kernel or version.
 * @throws {AirlockError} reason `runtime` when it was changed.
 */
export async function findDockerDisk(
  directory: string,
  guest: BuiltGuest,
  options: Abortable,
): Promise<DockerDisk | undefined> {
  const manifest = await readManifest(directory);
  if (manifest === undefined || manifest === "unknown" || !belongsTo(manifest, guest)) return undefined;
  return await openDockerDisk(directory, guest, options);
}

/**
 * Opens the disk of a directory. `undefined`: it has none.
 * @throws {AirlockError} reason `runtime` when it was changed, or belongs to another kernel or version of the executor.
 */
export async function openDockerDisk(
  directory: string,
  guest: BuiltGuest,
  { signal }: Abortable,
): Promise<DockerDisk | undefined> {
  const manifest = await readManifest(directory);
  if (manifest === undefined) return undefined;
  if (manifest === "unknown" || !belongsTo(manifest, guest)) {
    const problem = `the disk with Docker in ${directory} belongs to another kernel or version of the executor`;
    throw runtimeFailed(problem, undefined, installHint);
  }
  const path = pathOf(directory, manifest);
  const { size, blocks } = await stat(path).catch((cause: unknown) => {
    throw runtimeFailed(`the disk with Docker is missing: ${path}`, cause, installHint);
  });
  // Holes have no blocks, so a disk with more of them has content that the checksum does not cover.
  const mostBlocks = Math.ceil(manifest.bytes / 512) + slackBlocks;
  const isWhole = size === slotBytes && blocks <= mostBlocks;
  const checksum = isWhole && (await checksumOf(createReadStream(path, { end: manifest.bytes - 1 }), signal));
  if (checksum === manifest.disk) return { path, manifest };
  const hint = `Its content was changed. Remove it, then run as root: executor install microvm --docker`;
  throw runtimeFailed(`${path} does not have the checksum of its manifest`, undefined, hint);
}

/** Whether a directory has such a disk, of whatever version. */
export async function hasDockerDisk(directory: string): Promise<boolean> {
  return (await readManifest(directory)) !== undefined;
}

/** `undefined`: the manifest is missing. `unknown`: another version of the executor wrote it. */
async function readManifest(directory: string): Promise<DockerManifest | "unknown" | undefined> {
  const text = await readIfThere(join(directory, manifestName));
  if (text === undefined) return undefined;
  const parsed = manifestSchema.safeParse(parseJson(text));
  return parsed.success ? parsed.data : "unknown";
}

/** The kernel refuses modules of another one. */
function belongsTo(manifest: DockerManifest, guest: BuiltGuest): boolean {
  return manifest.recipe === recipe() && manifest.kernelPackage === guest.manifest.kernelPackage.sha256;
}

/** What the host's file system may need beside the content. */
const slackBlocks = 16 * 2048;

/** Writes a tree to a new disk as large as a slot, and returns the size of what the file system uses. */
export async function writeDockerDisk(path: string, root: string, signal: AbortSignal): Promise<number> {
  await using disk = await Ext4Disk.create(path, { bytes: slotBytes, bytesPerInode: 2 ** 20, signal });
  const attributes = { mode: 0o755, ...guestRoot, modifiedNs: 0n };
  await fillDisk(disk, { attributes, sources: [latin1(root)], added: new Map() }, { owner: guestRoot, signal });
  await disk.finish({ sync: true });
  const { usedBytes } = disk;
  await truncate(path, slotBytes);
  await chmod(path, 0o444);
  return usedBytes;
}

/** Puts the disk and its manifest, which vouches for it, into the directory. */
async function publish(directory: string, disk: string, manifest: DockerManifest): Promise<DockerDisk> {
  const path = pathOf(directory, manifest);
  await rename(disk, path);
  const scratch = await makeGuestScratch(directory);
  try {
    const file = join(scratch, manifestName);
    await writeFile(file, JSON.stringify(manifest, null, 2), { mode: 0o644 });
    await rename(file, join(directory, manifestName));
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  return { path, manifest };
}

function pathOf(directory: string, { disk }: DockerManifest): string {
  return join(directory, `docker-${disk.slice(0, 16)}.ext4`);
}

function recipe(): string {
  return createHash("sha256").update(JSON.stringify({ recipeVersion, dockerRootParts })).digest("hex");
}

async function checksumOf(stream: Readable, signal: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(stream, hash, { signal });
  return hash.digest("hex");
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  return await readFile(path, "utf8").catch((error: unknown) => {
    if (errorCode(error) === "ENOENT") return undefined;
    throw error;
  });
}

import { createHash } from "node:crypto";
import { lstatSync } from "node:fs";
import { chmod, copyFile, mkdir, readFile, rename, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { AirlockError } from "@airlock/job";
import { outputOf } from "@airlock/process";
import { runtimeFailed } from "../../contract/index.ts";
import { findOnSystemPath } from "../../host/find-program.ts";
import { latin1 } from "../../images/unpack/layer-stack.ts";
import { makeGuestScratch, removeGuestScratch } from "../guest/build/guest-scratch.ts";
import { cannotWrite } from "./cannot-write.ts";
import { Ext4Disk } from "./ext4/ext4-disk.ts";
import { attributesOf, fillDisk } from "./fill-disk.ts";
import type { ImageDisk } from "./image-disks.ts";

export interface GuestSystemOptions {
  /** Absolute path of the directory that keeps the disk. Several processes may share it. */
  readonly directory: string;
  readonly slotBytes: number;
}

/** Changes when the same busybox results in another disk. */
const formatVersion = 1;
const guestRoot = { uid: 0, gid: 0 };
const installHint = "Run as root: executor install microvm";

/**
 * A small system for the administrator's programs in guests: busybox with all its commands. A guest has no file system
 * of its own, and the images of jobs are chosen by their submitters.
 */
export class GuestSystem {
  readonly #options: GuestSystemOptions;
  #made: Promise<string> | undefined;

  constructor(options: GuestSystemOptions) {
    this.#options = options;
  }

  /**
   * Returns the disk with the system, and makes it the first time.
   * @throws {AirlockError} reason `runtime`.
   */
  async disk(): Promise<ImageDisk> {
    this.#made ??= this.#make().catch((error: unknown) => {
      this.#made = undefined;
      throw error;
    });
    const user = { ...guestRoot, additionalGids: [], home: "/root" };
    return { path: await this.#made, type: "ext4", user, env: [] };
  }

  async #make(): Promise<string> {
    const { directory, slotBytes } = this.#options;
    const program = await findStaticBusybox();
    const hash = createHash("sha256")
      .update(`${formatVersion} ${slotBytes}\0`)
      .update(await readFile(program));
    const path = join(directory, `${hash.digest("hex").slice(0, 16)}.ext4`);
    if (isThere(path)) return path;
    try {
      await mkdir(directory, { recursive: true, mode: 0o700 });
      await removeGuestScratch(directory);
      const scratch = await makeGuestScratch(directory);
      try {
        await writeTree(program, join(scratch, "tree"));
        await writeDisk(join(scratch, "tree"), join(scratch, "disk"), slotBytes);
        await rename(join(scratch, "disk"), path);
      } finally {
        await rm(scratch, { recursive: true, force: true });
      }
      return path;
    } catch (error) {
      throw error instanceof AirlockError
        ? error
        : cannotWrite("cannot make the disk of the guest's system", path, error);
    }
  }
}

/** @throws {AirlockError} reason `runtime` when it is missing, or needs libraries that a guest does not have. */
export async function findStaticBusybox(): Promise<string> {
  const path = await findOnSystemPath(["busybox"]);
  if (path === undefined)
    throw runtimeFailed("busybox (package busybox-static) is not installed", undefined, installHint);
  if (isStatic(await readFile(path))) return path;
  const problem = `${path} needs libraries that a virtual machine does not have: the package busybox-static is not installed`;
  throw runtimeFailed(problem, undefined, installHint);
}

/** Whether a 64-bit ELF program names no loader of libraries. */
export function isStatic(program: Buffer): boolean {
  if (program.length < 64 || program.readUInt32BE(0) !== 0x7f454c46 || program[4] !== 2) return false;
  const start = Number(program.readBigUInt64LE(32));
  const [size, count] = [program.readUInt16LE(54), program.readUInt16LE(56)];
  if (start + size * count > program.length) return false;
  const interpreter = 3;
  for (let index = 0; index < count; index += 1) {
    if (program.readUInt32LE(start + size * index) === interpreter) return false;
  }
  return true;
}

async function writeTree(program: string, tree: string): Promise<void> {
  for (const name of ["bin", "etc", "root", "tmp"]) await mkdir(join(tree, name), { recursive: true, mode: 0o755 });
  await copyFile(program, join(tree, "bin/busybox"));
  await chmod(join(tree, "bin/busybox"), 0o755);
  await chmod(join(tree, "tmp"), 0o1777);
  await writeFile(join(tree, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n");
  await writeFile(join(tree, "etc/group"), "root:x:0:\n");
  for (const command of (await outputOf([program, "--list"])).trim().split("\n")) {
    if (basename(command) === command && command !== "busybox") await symlink("busybox", join(tree, "bin", command));
  }
}

async function writeDisk(tree: string, path: string, slotBytes: number): Promise<void> {
  const { signal } = new AbortController();
  await using disk = await Ext4Disk.create(path, { bytes: slotBytes, bytesPerInode: 16_384, signal });
  const attributes = attributesOf(lstatSync(tree, { bigint: true }), guestRoot);
  await fillDisk(disk, { attributes, sources: [latin1(tree)], added: new Map() }, { owner: guestRoot, signal });
  await disk.finish({ sync: true });
  await truncate(path, slotBytes);
  await chmod(path, 0o444);
}

function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

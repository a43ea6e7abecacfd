import { chmod, copyFile, readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { outputOf } from "@airlock/process";
import type { GuestFiles } from "../../vm-monitor.ts";

/** Copies a kernel beside the machines, and packs the agent into an initrd as `/init`. */
export async function makeRealGuest(directory: string, kernel: string, agent: string): Promise<GuestFiles> {
  const guest = { kernel: join(directory, "kernel"), initrd: join(directory, "initrd") };
  await copyFile(kernel, guest.kernel);
  await chmod(guest.kernel, 0o644);
  const init = cpioEntry("init", 0o100755, await readFile(agent));
  await writeFile(guest.initrd, Buffer.concat([init, cpioEntry("TRAILER!!!", 0, Buffer.alloc(0))]), { mode: 0o644 });
  return guest;
}

/** Makes a disk with the files of a directory. Needs `mkfs.erofs`. */
export async function makeErofsDisk(path: string, directory: string, bytes: number): Promise<string> {
  await outputOf(["mkfs.erofs", path, directory]);
  await chmod(path, 0o644);
  await truncate(path, bytes);
  return path;
}

/** One file of a cpio archive in the format `newc`. */
function cpioEntry(name: string, mode: number, content: Buffer): Buffer {
  const numbers = [1, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, name.length + 1, 0];
  const head = `070701${numbers.map((number) => number.toString(16).padStart(8, "0")).join("")}${name}\0`;
  return Buffer.concat([padded(Buffer.from(head)), padded(content)]);
}

const padded = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);

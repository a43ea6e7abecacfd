import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { temporaryDirectory } from "@airlock/test-kit";
import { expect, it, vi } from "vitest";
import { GuestHold } from "./guest-hold.ts";

const checksum = (first: string) => first.padEnd(16, "0");
const files = (set: string) => [
  `docker-${checksum(`${set}d`)}.ext4`,
  `initrd-${checksum(`${set}a`)}.cpio`,
  `vmlinux-${checksum(`${set}c`)}`,
];
const [old, current] = [files("1"), files("2")];

/** A directory after two installations. The first one's files are held by nothing yet. */
async function installedTwice(directory: string): Promise<void> {
  for (const name of [...old, ...current]) await writeFile(join(directory, name), "");
  await writeFile(join(directory, "guest.json"), JSON.stringify({ kernel: checksum("2c"), initrd: checksum("2a") }));
  await writeFile(join(directory, "docker.json"), JSON.stringify({ form: "of another version", disk: checksum("2d") }));
}

async function removeUnused(directory: string): Promise<readonly string[]> {
  using hold = await GuestHold.ofAll(directory);
  hold.narrow([]);
  return hold.removeUnused().toSorted();
}

it("guest files of earlier installations are removed when no process holds them", async () => {
  await using directory = await temporaryDirectory();
  await installedTwice(directory.path);
  await mkdir(join(directory.path, "docker"));
  await writeFile(join(directory.path, "vmlinux-of-an-administrator"), "");
  const holder = await GuestHold.ofAll(directory.path);
  holder.narrow(old.map((name) => join(directory.path, name)));

  expect(await removeUnused(directory.path)).toEqual([]);
  holder[Symbol.dispose]();
  expect(await removeUnused(directory.path)).toEqual(old);

  const left = [".in-use", "docker", "docker.json", "guest.json", "vmlinux-of-an-administrator", ...current];
  expect((await readdir(directory.path)).toSorted()).toEqual(left.toSorted());
});

it("guest files stay while a process opens some of the directory", async () => {
  await using directory = await temporaryDirectory();
  await installedTwice(directory.path);
  using opening = await GuestHold.ofAll(directory.path);
  expect(await removeUnused(directory.path)).toEqual([]);
  opening.narrow(old.slice(0, 1));
  expect(await removeUnused(directory.path)).toEqual(old.slice(1));
});

it("guest files of a killed process are removed", async () => {
  await using directory = await temporaryDirectory();
  await installedTwice(directory.path);
  const program = `
    const [module, directory, ...names] = process.argv.slice(1);
    const { GuestHold } = await import(module);
    const hold = await GuestHold.ofAll(directory);
    hold.narrow(names);
    setInterval(() => hold, 1000);
    console.log("ready");`;
  const module = fileURLToPath(new URL("guest-hold.ts", import.meta.url));
  const args = ["--input-type=module", "-e", program, "--", module, directory.path, ...old];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  await once(child.stdout, "data");
  expect(await removeUnused(directory.path)).toEqual([]);

  child.kill("SIGKILL");

  await vi.waitFor(async () => expect(await removeUnused(directory.path)).toEqual(old), 5000);
});

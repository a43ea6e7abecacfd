import { link, lstat, mkdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { temporaryDirectory } from "@airlock/test-kit";
import { expect, it } from "vitest";
import { keepDisk } from "./keep-disk.ts";

const isRoot = process.geteuid?.() === 0;

it.runIf(isRoot)("a disk of a machine that has ended is kept for root alone", async () => {
  await using directory = await temporaryDirectory();
  const disk = join(directory.path, "workspace.ext4");
  await writeFile(disk, "content", { mode: 0o666 });
  const target = join(directory.path, "workspaces", "job.ext4");
  await keepDisk(disk, target);
  expect(await readFile(target, "utf8")).toBe("content");
  expect(await stat(target)).toMatchObject({ uid: 0, gid: 0, mode: 0o100600 });
  await keepDisk(disk, target);
});

it.runIf(isRoot).each([
  ["a link to", (victim: string, disk: string) => symlink(victim, disk)],
  ["another name of", (victim: string, disk: string) => link(victim, disk)],
])("a machine's user can't change a file of the host by %s it in place of its disk", async (_what, replace) => {
  await using directory = await temporaryDirectory();
  const victim = join(directory.path, "victim");
  await writeFile(victim, "", { mode: 0o644 });
  const { mode } = await stat(victim);
  const disk = join(directory.path, "workspace.ext4");
  await replace(victim, disk);
  const target = join(directory.path, "workspaces", "job.ext4");
  await expect(keepDisk(disk, target)).rejects.toThrow("it is not a regular file with one name");
  expect((await stat(victim)).mode).toBe(mode);
  await expect(lstat(target)).rejects.toThrow("ENOENT");
});

it.runIf(isRoot)("a directory in place of a machine's disk is not kept", async () => {
  await using directory = await temporaryDirectory();
  const disk = join(directory.path, "workspace.ext4");
  await mkdir(disk);
  await expect(keepDisk(disk, join(directory.path, "workspaces", "job.ext4"))).rejects.toThrow("not a regular file");
});

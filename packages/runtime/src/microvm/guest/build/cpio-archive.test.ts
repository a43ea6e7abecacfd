import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runProgram } from "@airlock/process";
import { temporaryDirectory } from "@airlock/test-kit";
import { expect, it } from "vitest";
import { type CpioEntry, cpioArchive } from "./cpio-archive.ts";

const entries: readonly CpioEntry[] = [
  { path: "dir", mode: 0o755, content: null },
  { path: "dir/odd", mode: 0o644, content: Buffer.from("12345") },
  { path: "dir/even", mode: 0o600, content: Buffer.from("1234") },
  { path: "init", mode: 0o755, content: Buffer.from("#!") },
];

it("writes archives that busybox unpacks", async () => {
  await using directory = await temporaryDirectory();
  await writeFile(join(directory.path, "archive"), cpioArchive(entries));
  const out = join(directory.path, "out");
  await mkdir(out);
  const command = ["busybox", "cpio", "-i", "-d", "-F", join(directory.path, "archive")];
  expect(await runProgram(command, { cwd: out })).toMatchObject({ exitCode: 0 });
  expect(await readFile(join(out, "dir/odd"), "utf8")).toBe("12345");
  expect(await readFile(join(out, "dir/even"), "utf8")).toBe("1234");
  expect((await stat(join(out, "init"))).mode & 0o7777).toBe(0o755);
});

it("makes the same bytes from the same entries in any order", () => {
  const archive = cpioArchive(entries);
  expect(cpioArchive(entries.toReversed())).toEqual(archive);
  // Archives may follow each other only at a multiple of 4 bytes.
  expect(archive.length % 4).toBe(0);
});

import { rename, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { temporaryDirectory } from "@airlock/test-kit";
import { expect, it } from "vitest";
import { versionOfFiles } from "./version-of-files.ts";

it("the version of files changes when one is replaced, even by the same bytes at the same time", async () => {
  await using directory = await temporaryDirectory("version-");
  const [path, other] = [join(directory.path, "program"), join(directory.path, "other")];
  const missing = await versionOfFiles([path]);
  const time = new Date(1_000_000);
  for (const file of [path, other]) {
    await writeFile(file, "program");
    await utimes(file, time, time);
  }
  const first = await versionOfFiles([path]);
  expect(await versionOfFiles([path])).toBe(first);
  await rename(other, path);
  expect(new Set([missing, first, await versionOfFiles([path])]).size).toBe(3);
});

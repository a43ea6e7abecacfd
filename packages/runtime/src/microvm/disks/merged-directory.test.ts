import { symlink } from "node:fs/promises";
import { join } from "node:path";
import { temporaryDirectory } from "@airlock/test-kit";
import { expect, it } from "vitest";
import { readMergedDirectory } from "./merged-directory.ts";

const count = 4096;

it("gives other tasks turns while it reads a large directory, and stops when it is aborted", async () => {
  await using directory = await temporaryDirectory();
  for (let index = 0; index < count; index++) await symlink("x", join(directory.path, String(index)));
  let turns = 0;
  let isReading = true;
  const other = () => {
    turns += 1;
    if (isReading) setImmediate(other);
  };
  setImmediate(other);
  const { signal } = new AbortController();
  const entries = await readMergedDirectory([directory.path], { signal });
  isReading = false;
  expect(entries).toHaveLength(count);
  expect(turns).toBeGreaterThanOrEqual(count / 256);

  const abort = new AbortController();
  const aborted = readMergedDirectory([directory.path], { signal: abort.signal });
  abort.abort(new Error("the job was canceled"));
  await expect(aborted).rejects.toThrow("the job was canceled");
});

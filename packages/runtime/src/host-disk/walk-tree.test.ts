import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { temporaryDirectory } from "@airlock/test-kit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openBeneath, walkTree } from "./walk-tree.ts";

let stack: AsyncDisposableStack;
let root: string;
let outside: string;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  const { path } = stack.use(await temporaryDirectory());
  root = join(path, "root");
  outside = join(path, "outside");
  for (const dir of [root, outside]) await mkdir(join(dir, "sub"), { recursive: true });
  await writeFile(join(outside, "sub", "file"), "of the host");
  await writeFile(join(root, "sub", "file"), "of the job");
});

afterEach(() => stack.disposeAsync());

/** Reads all files and calls `atName` when the walk reaches a name, so that the test can change the tree. */
async function read(atName: (name: string) => void): Promise<string[]> {
  const contents: string[] = [];
  const handle = await openBeneath(root, "");
  if (!handle) throw new Error("there is no root");
  await using _ = handle;
  const walk = walkTree<true>(handle, {
    start: true,
    advance: (state, name) => {
      atName(name.toString());
      return state;
    },
    maximumEntries: 100,
    maximumDepth: 100,
    signal: AbortSignal.timeout(10_000),
  });
  for await (const entry of walk) {
    if (entry.stats.kind !== "file") continue;
    for await (const bytes of entry.contents()) contents.push(bytes.toString());
  }
  return contents;
}

describe("a walk while the tree is being changed", () => {
  it("does not enter a directory that was replaced by a link after it was listed", async () => {
    const attempt = read((name) => {
      if (name !== "sub") return;
      renameSync(join(root, "sub"), join(root, "..", "aside"));
      symlinkSync(join(outside, "sub"), join(root, "sub"));
    });

    await expect(attempt).rejects.toMatchObject({ code: expect.stringMatching(/ELOOP|ENOTDIR/) });
  });

  it.each([
    ["a link", () => symlinkSync(join(outside, "sub", "file"), join(root, "sub", "file")), /ELOOP/],
    ["another file", () => writeFileSync(join(root, "sub", "file"), "another"), /not-a-file/],
    ["a directory", () => mkdirSync(join(root, "sub", "file")), /not-a-file|EISDIR/],
  ])("does not read a file that became %s after it was listed", async (_, replace, code) => {
    const attempt = read((name) => {
      if (name !== "file") return;
      // Keep the old file, so that its inode is not reused.
      renameSync(join(root, "sub", "file"), join(root, "..", "aside"));
      replace();
    });

    await expect(attempt).rejects.toMatchObject({ code: expect.stringMatching(code) });
  });

  it("stays in the directory that it has open when the path to it changes", async () => {
    const contents = await read((name) => {
      if (name !== "file") return;
      renameSync(root, `${root}-moved`);
      symlinkSync(outside, root);
    });

    expect(contents).toEqual(["of the job"]);
  });

  it("does not start at a root that is a link, a file or a pipe", async () => {
    for (const make of [() => symlinkSync(outside, root), () => writeFileSync(root, "")]) {
      rmSync(root, { recursive: true });
      make();
      await expect(openBeneath(root, "")).rejects.toMatchObject({ code: expect.stringMatching(/ELOOP|ENOTDIR/) });
    }
  });

  it("does not follow links or `..` on the way to a directory below", async () => {
    symlinkSync(outside, join(root, "link"));

    for (const path of ["link/sub", "link", "../outside", "sub/../../outside", "sub/file"]) {
      expect(await openBeneath(root, path), path).toBeNull();
    }
  });
});

describe("a walk without root", () => {
  it.each(["sub", "sub/file"])("reports which of %s it may not read", async (path) => {
    await chmod(join(root, path), 0);
    // The test's directories let only their owner in.
    for (let dir = root; dir !== "/" && dir !== tmpdir(); dir = dirname(dir)) await chmod(dir, 0o755);
    process.seteuid?.(65_534);
    try {
      await expect(read(() => {})).rejects.toMatchObject({
        code: "unreadable",
        message: expect.stringContaining(`"${path}" cannot be read`),
      });
    } finally {
      process.seteuid?.(0);
    }
  });
});

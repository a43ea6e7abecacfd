import { access, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { temporaryDirectory } from "@airlock/test-kit";
import { describe, expect, it } from "vitest";
import { removeSmallTree } from "./remove-small-tree.ts";

describe("a small tree", () => {
  it("is removed including its links, but not what they point to", async () => {
    await using directory = await temporaryDirectory();
    const tree = join(directory.path, "tree");
    const outside = join(directory.path, "outside");
    await mkdir(join(tree, "a/b/c"), { recursive: true });
    await mkdir(outside);
    await writeFile(join(outside, "file"), "kept");
    await symlink(outside, join(tree, "a/link"));
    await symlink(join(outside, "file"), join(tree, "a/b/link"));

    expect(removeSmallTree(tree)).toBe(true);

    await expect(access(tree)).rejects.toThrow("ENOENT");
    expect(await readFile(join(outside, "file"), "utf8")).toBe("kept");
  });

  it("may be missing already, and is left to another method if it is large, deep or has odd names", async () => {
    await using directory = await temporaryDirectory();
    expect(removeSmallTree(join(directory.path, "absent"))).toBe(true);
    const wide = join(directory.path, "wide");
    await mkdir(wide);
    for (let index = 0; index < 150; index += 1) await writeFile(join(wide, String(index)), "");
    const odd = join(directory.path, "odd");
    await mkdir(odd);
    await writeFile(Buffer.concat([Buffer.from(`${odd}/`), Buffer.from([0xff, 0xfe])]), "");

    expect([wide, odd].map(removeSmallTree)).toEqual([false, false]);
  });
});

import { mkdir, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { Readable } from "node:stream";
import { temporaryDirectory } from "@airlock/test-kit";
import { describe, expect, it } from "vitest";
import { describeBlobStore, entries } from "../testing/describe-blob-store.ts";
import { createDirectoryBlobStore } from "./directory-blob-store.ts";

const options = { signal: new AbortController().signal, maxBytes: 1000 };

describe("the directory blob store", () => {
  describeBlobStore(async () => {
    const temporary = await temporaryDirectory();
    const directory = path.join(temporary.path, "blobs");
    return {
      settings: { kind: "directory", directory },
      open: () => createDirectoryBlobStore({ directory }),
      leftovers: () => readdir(path.join(directory, "incoming")),
      [Symbol.asyncDispose]: () => temporary[Symbol.asyncDispose](),
    };
  });

  it("removes the leftovers of a crash when it starts", async () => {
    await using temporary = await temporaryDirectory();
    const incoming = path.join(temporary.path, "incoming");
    await mkdir(path.join(incoming, "half-deleted"), { recursive: true });
    await writeFile(path.join(incoming, "half-written"), "x");
    await using _ = await createDirectoryBlobStore({ directory: temporary.path });
    expect(await readdir(incoming)).toEqual([]);
  });

  it("makes everything readable only for its own account", async () => {
    await using temporary = await temporaryDirectory();
    const directory = path.join(temporary.path, "new");
    await using store = await createDirectoryBlobStore({ directory });
    await store.put("a/b", Readable.from(["x"]), options);
    const mode = async (...names: string[]) => ((await stat(path.join(directory, ...names))).mode & 0o777).toString(8);
    expect(await Promise.all([mode(), mode("blobs"), mode("incoming"), mode("blobs", "a")])).toEqual(
      Array.from({ length: 4 }, () => "700"),
    );
    expect(await mode("blobs", "a", "b@")).toBe("600");
  });

  it("leaves no empty directories", async () => {
    await using temporary = await temporaryDirectory();
    await using store = await createDirectoryBlobStore({ directory: temporary.path });
    await store.put("a/b/c", Readable.from(["x"]), options);
    await store.put("d/e/f", Readable.from(["x"]), options);
    await store.delete("a/b/c", options);
    await store.deletePrefix("d/e/", options);
    expect(await readdir(path.join(temporary.path, "blobs"))).toEqual([]);
  });

  it("follows no symbolic link out of the store", async () => {
    await using temporary = await temporaryDirectory();
    const outside = path.join(temporary.path, "outside");
    const directory = path.join(temporary.path, "store");
    await mkdir(outside);
    await writeFile(path.join(outside, "secret@"), "secret");
    await using store = await createDirectoryBlobStore({ directory });
    await symlink(outside, path.join(directory, "blobs", "out"));
    await symlink(path.join(outside, "secret@"), path.join(directory, "blobs", "link@"));
    const refused = { code: "blob-store-damaged" };
    await expect(store.get("out/secret", options)).rejects.toMatchObject(refused);
    await expect(store.get("link", options)).rejects.toMatchObject(refused);
    await expect(store.put("out/new", Readable.from(["x"]), options)).rejects.toMatchObject(refused);
    await expect(store.delete("out/secret", options)).rejects.toMatchObject(refused);
    await expect(entries(store.list("out/", options))).rejects.toMatchObject(refused);
    expect(await entries(store.list("", options))).toEqual([]);
    await store.deletePrefix("out/", options);
    expect(await readFile(path.join(outside, "secret@"), "utf8")).toBe("secret");
    expect(await readdir(path.join(directory, "incoming"))).toEqual([]);
    expect(await readdir(outside)).toEqual(["secret@"]);
  });

  it("reports an error when the directory can't be used", async () => {
    await using temporary = await temporaryDirectory();
    const file = path.join(temporary.path, "file");
    await writeFile(file, "x");
    await expect(createDirectoryBlobStore({ directory: file })).rejects.toMatchObject({
      code: "blob-store-unusable",
      hint: expect.stringContaining("another one"),
    });
  });
});

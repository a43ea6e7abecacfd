import { createHash } from "node:crypto";
import { lstat, mkdir, readdir, readFile, readlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { buildImage, type LayerEntry, temporaryDirectory } from "@airlock/test-kit";
import { describe, expect, it } from "vitest";
import { defaultImageLimits, type ImageLimits } from "../manifest/image-limits.ts";
import { LayerTree } from "./layer-tree.ts";
import { UnpackBudget } from "./unpack-budget.ts";
import { unpackLayer } from "./unpack-layer.ts";
import { flatWhiteouts } from "./whiteouts.ts";

describe("unpackLayer", () => {
  it("keeps content, modes, times and links", async () => {
    await using place = await openPlace();

    await place.unpack([
      { name: "bin/", type: "directory", mode: 0o751, mtime: new Date(1e12) },
      { name: "bin/tool", content: "x".repeat(200_000), mode: 0o4755, mtime: new Date(1_234_567_890_000) },
      { name: "bin/soft", type: "symlink", linkname: "/etc/passwd" },
      { name: "bin/hard", type: "link", linkname: "bin/tool" },
      { name: "empty", content: "" },
    ]);

    const tool = await lstat(join(place.root, "bin/tool"));
    expect([tool.mode & 0o7777, tool.size, tool.mtimeMs, tool.nlink]).toEqual([0o4755, 200_000, 1_234_567_890_000, 2]);
    const bin = await lstat(join(place.root, "bin"));
    expect([bin.mode & 0o7777, bin.mtimeMs]).toEqual([0o751, 1e12]);
    expect(await readlink(join(place.root, "bin/soft"))).toBe("/etc/passwd");
    expect((await lstat(join(place.root, "empty"))).size).toBe(0);
  });

  it.each(["gzip", "zstd", "plain"] as const)("reads %s, regardless of the media type", async (format) => {
    await using place = await openPlace();

    await place.unpack([{ name: "a", content: "b" }], { format });

    expect(await readFile(join(place.root, "a"), "utf8")).toBe("b");
  });

  it("reads several gzip members, and keeps names that are not UTF-8 byte for byte", async () => {
    await using place = await openPlace();
    const long = `${"d".repeat(120)}/${"é".repeat(100)}`;

    await place.unpack([
      { name: "caf\u00e9", content: "1" },
      { name: long, content: "2" },
      { name: "line\nbreak", content: "3" },
    ]);

    expect(await readFile(join(place.root, "café"), "utf8")).toBe("1");
    expect(await readFile(join(place.root, long), "utf8")).toBe("2");
    expect(await readFile(join(place.root, "line\nbreak"), "utf8")).toBe("3");
  });

  it("treats absolute names as relative to the root", async () => {
    await using place = await openPlace();

    await place.unpack([{ name: "/etc/passwd", content: "inside" }]);

    expect(await readFile(join(place.root, "etc/passwd"), "utf8")).toBe("inside");
  });

  it("uses the last of several entries with the same name", async () => {
    await using place = await openPlace();

    await place.unpack([
      { name: "a", content: "first" },
      { name: "a", content: "second" },
      { name: "b", type: "symlink", linkname: "../outside" },
      { name: "b", content: "a file" },
      { name: "c/x", content: "" },
      { name: "c", content: "was a directory" },
      { name: "d", type: "symlink", linkname: ".." },
      { name: "d/", type: "directory" },
      { name: "d/inside", content: "" },
    ]);

    expect(await readFile(join(place.root, "a"), "utf8")).toBe("second");
    expect(await readFile(join(place.root, "b"), "utf8")).toBe("a file");
    expect(await readFile(join(place.root, "c"), "utf8")).toBe("was a directory");
    expect(await readdir(join(place.root, "d"))).toEqual(["inside"]);
    expect(await place.outside()).toEqual({ "secret.txt": "untouched" });
  });

  it("leaves out devices and FIFOs", async () => {
    await using place = await openPlace();

    await place.unpack([
      { name: "dev/sda", type: "block-device", devmajor: 8, devminor: 0 },
      { name: "dev/mem", type: "character-device", devmajor: 1, devminor: 1 },
      { name: "fifo", type: "fifo" },
      { name: "kept", content: "" },
    ]);

    expect(await readdir(place.root)).toEqual(["kept"]);
  });

  it.each<[string, LayerEntry[]]>([
    ["a name with ..", [{ name: "../secret.txt", content: "evil" }]],
    ["a name that returns after ..", [{ name: "a/../../secret.txt", content: "evil" }]],
    [
      "a name with .. hidden in a long one",
      [{ name: `${"a/".repeat(100)}${"../".repeat(102)}secret.txt`, content: "evil" }],
    ],
    [
      "a file written through a link",
      [
        { name: "out", type: "symlink", linkname: "../outside" },
        { name: "out/secret.txt", content: "evil" },
      ],
    ],
    [
      "a directory made through an absolute link",
      [
        { name: "out", type: "symlink", linkname: "/" },
        { name: "out/made/", type: "directory" },
      ],
    ],
    [
      "a hard link through a chain of links",
      [
        { name: "a/b/c/", type: "directory" },
        { name: "a/b/c/up", type: "symlink", linkname: "../.." },
        { name: "a/b/escape", type: "symlink", linkname: "c/up/../.." },
        { name: "exfil", type: "link", linkname: "a/b/escape/outside/secret.txt" },
      ],
    ],
    ["a hard link out of the layer", [{ name: "x", type: "link", linkname: "../outside/secret.txt" }]],
    ["a hard link to an absolute path of the host", [{ name: "x", type: "link", linkname: "/etc/hostname" }]],
    [
      "a hard link to a directory",
      [
        { name: "d/", type: "directory" },
        { name: "x", type: "link", linkname: "d" },
      ],
    ],
    ["a deletion marker for ..", [{ name: ".wh...", content: "" }]],
    ["a deletion marker without a name", [{ name: "a/.wh.", content: "" }]],
    ["a name of 300 bytes", [{ name: "n".repeat(300), content: "" }]],
    ["a path of 300 directories", [{ name: `${"d/".repeat(300)}f`, content: "" }]],
    ["a path of 4000 bytes", [{ name: `${`${"d".repeat(199)}/`.repeat(20)}f`, content: "" }]],
    ["a sparse file", [{ name: "GNUSparseFile/x", content: "a", pax: { "GNU.sparse.major": "1" } }]],
    ["the root as a link", [{ name: "./", type: "symlink", linkname: "/etc" }]],
    ["an owner that is not an id", [{ name: "x", content: "", pax: { uid: "-1" } }]],
  ])("refuses %s and changes nothing outside", async (_, entries) => {
    await using place = await openPlace();

    await expect(place.unpack(entries)).rejects.toMatchObject({ name: "LayerError" });

    expect(await place.outside()).toEqual({ "secret.txt": "untouched" });
  });

  it("is not confused by a PAX record that renames an entry", async () => {
    await using place = await openPlace();

    await expect(
      place.unpack([{ name: "harmless", content: "evil", pax: { path: "../outside/secret.txt" } }]),
    ).rejects.toThrow("leaves the layer");
    expect(await place.outside()).toEqual({ "secret.txt": "untouched" });
  });

  it("refuses archives with too many bytes or entries (decompression bombs)", async () => {
    await using place = await openPlace();
    const zeros = Buffer.alloc(80 * 2 ** 20);
    const many = Array.from({ length: 200 }, (_, index) => ({ name: `f${index}`, content: "" }));

    await expect(place.unpack([{ name: "zeros", content: zeros }])).rejects.toThrow("200 times its size");
    await expect(
      place.unpack([{ name: "big", content: "x".repeat(5000) }], { limits: { unpackedBytes: 4096 } }),
    ).rejects.toThrow("more than 4096 bytes");
    await expect(place.unpack(many, { limits: { entries: 100 } })).rejects.toThrow("more than 100 entries");
  });

  it("refuses archives that are truncated, garbage, or different from what the image declares", async () => {
    await using place = await openPlace();
    const whole = await archiveOf([{ name: "file", content: "x".repeat(10_000) }]);

    await expect(place.unpackBytes(gzipSync(whole).subarray(0, 60), whole)).rejects.toMatchObject({
      name: "LayerError",
    });
    await expect(place.unpackBytes(whole.subarray(0, 4000), whole)).rejects.toMatchObject({ name: "LayerError" });
    await expect(place.unpackBytes(Buffer.alloc(2048, "garbage"), whole)).rejects.toMatchObject({ name: "LayerError" });
    await expect(place.unpackBytes(whole, Buffer.from("other"))).rejects.toThrow("as the image says");
  });

  it("stops with the abort reason when it is aborted", async () => {
    await using place = await openPlace();
    const reason = new Error("enough");

    await expect(place.unpack([{ name: "a", content: "b" }], { signal: AbortSignal.abort(reason) })).rejects.toBe(
      reason,
    );
  });
});

describe("unpackLayer over another layer in one directory", () => {
  it("deletes what the layer marks as deleted, and only from the layers below", async () => {
    await using place = await openPlace();
    await place.unpack([
      { name: "kept", content: "" },
      { name: "gone", content: "" },
      { name: "tree/a/b", content: "" },
      { name: "opaque/old", content: "" },
      { name: "opaque/sub/old", content: "" },
      { name: "replaced/old", content: "" },
    ]);

    await place.unpack([
      { name: ".wh.gone", content: "" },
      { name: ".wh.tree", content: "" },
      { name: "opaque/sub/new", content: "" },
      { name: "opaque/.wh..wh..opq", content: "" },
      { name: "replaced/new", content: "" },
      { name: ".wh.replaced", content: "" },
      { name: ".wh..wh.plnk", content: "" },
    ]);

    expect(await tree(place.root)).toEqual([
      "kept",
      "opaque",
      "opaque/sub",
      "opaque/sub/new",
      "replaced",
      "replaced/new",
    ]);
  });

  it("never deletes through a link of a layer below", async () => {
    await using place = await openPlace();
    await place.unpack([{ name: "link", type: "symlink", linkname: "../outside" }]);

    await place.unpack([
      { name: "link/.wh.secret.txt", content: "" },
      { name: "link/.wh..wh..opq", content: "" },
    ]);

    expect(await place.outside()).toEqual({ "secret.txt": "untouched" });
  });

  it("replaces a link of a layer below with the directory that the layer has there", async () => {
    await using place = await openPlace();
    await place.unpack([{ name: "link", type: "symlink", linkname: "../outside" }]);

    await place.unpack([{ name: "link/secret.txt", content: "inside" }]);

    expect(await readFile(join(place.root, "link/secret.txt"), "utf8")).toBe("inside");
    expect(await place.outside()).toEqual({ "secret.txt": "untouched" });
  });
});

interface UnpackOptions {
  readonly format?: "gzip" | "zstd" | "plain";
  readonly limits?: Partial<ImageLimits>;
  readonly signal?: AbortSignal;
}

/** A directory to unpack into, and one beside it that must stay untouched. */
async function openPlace() {
  const directory = await temporaryDirectory();
  const root = join(directory.path, "root");
  const outside = join(directory.path, "outside");
  await mkdir(root);
  await mkdir(outside);
  await writeFile(join(outside, "secret.txt"), "untouched");
  async function unpackBytes(stored: Buffer, plain: Buffer, options: UnpackOptions = {}): Promise<void> {
    const layer = new LayerTree({
      root,
      keepOwners: process.geteuid?.() === 0,
      idRange: null,
      directoryBelow: async () => undefined,
    });
    const budget = new UnpackBudget({ ...defaultImageLimits, ...options.limits });
    await unpackLayer(
      { stream: Readable.from([stored]), storedBytes: stored.length, diffId: digestOf(plain) },
      layer,
      flatWhiteouts(layer),
      { budget, signal: options.signal ?? new AbortController().signal },
    );
  }
  return {
    root,
    unpackBytes,
    async unpack(entries: readonly LayerEntry[], options: UnpackOptions = {}): Promise<void> {
      const plain = await archiveOf(entries);
      const compress = { gzip: gzipSync, zstd: zstdCompressSync, plain: (bytes: Buffer) => bytes };
      await unpackBytes(compress[options.format ?? "gzip"](plain), plain, options);
    },
    async outside(): Promise<Record<string, string>> {
      const files = (await readdir(outside)).map(async (name) => [name, await readFile(join(outside, name), "utf8")]);
      return Object.fromEntries(await Promise.all(files));
    },
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  };
}

async function archiveOf(entries: readonly LayerEntry[]): Promise<Buffer> {
  const owned = entries.map((entry) => ({ uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0, ...entry }));
  return (await buildImage([owned])).plainLayers[0] ?? Buffer.alloc(0);
}

function digestOf(bytes: Buffer): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

async function tree(root: string): Promise<readonly string[]> {
  return (await readdir(root, { recursive: true })).sort();
}

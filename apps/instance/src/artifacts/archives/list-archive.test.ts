import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { createGzip, gzipSync } from "node:zlib";
import { temporaryDirectory } from "@airlock/test-kit";
import { type Header, pack } from "tar-stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BlobStore } from "../../blobs/blob-store.ts";
import { createDirectoryBlobStore } from "../../blobs/directory-blob-store.ts";
import { type ListingLimits, listingLimits } from "./archive-entries.ts";
import { listArchive } from "./list-archive.ts";

const { signal } = new AbortController();
const hostile = "../../etc/<img src=x>\u202e\u001b[31m";

function tarOf(
  ...entries: (Partial<Header> & { readonly name: string } & { readonly text?: string })[]
): Promise<Buffer> {
  const archive = pack();
  for (const { text, ...header } of entries) archive.entry(header, text ?? "");
  archive.finalize();
  return buffer(archive as unknown as Readable);
}

/** A zip of stored entries whose directory may lie about their size. */
function zipOf(...entries: { readonly path: string; readonly bytes?: number; readonly mode?: number }[]): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { path, bytes = 0, mode = 0o100644 } of entries) {
    const name = Buffer.from(path);
    const local = Buffer.alloc(30);
    local.write("PK\x03\x04", "latin1");
    local.writeUInt16LE(name.length, 26);
    const central = Buffer.alloc(46);
    central.write("PK\x01\x02", "latin1");
    // Names are UTF-8.
    central.writeUInt16LE(0x800, 8);
    central.writeUInt32LE(bytes, 24);
    central.writeUInt16LE(name.length, 28);
    central.writeUInt32LE(mode * 0x10000, 38);
    central.writeUInt32LE(offset, 42);
    parts.push(local, name);
    directory.push(central, name);
    offset += local.length + name.length;
  }
  const listed = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write("PK\x05\x06", "latin1");
  end.writeUInt16LE(entries.length, 8);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(listed.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, listed, end]);
}

describe("listing an archive", () => {
  const stack = new AsyncDisposableStack();
  let blobs: BlobStore;
  let count = 0;
  beforeAll(async () => {
    const { path } = stack.use(await temporaryDirectory());
    blobs = stack.use(await createDirectoryBlobStore({ directory: path }));
  });
  afterAll(() => stack.disposeAsync());

  async function list(content: Buffer | Readable, limits: Partial<ListingLimits> = {}) {
    count += 1;
    const key = `archives/${count}`;
    const body = Buffer.isBuffer(content) ? Readable.from([content]) : content;
    await blobs.put(key, body, { signal, maxBytes: Number.MAX_SAFE_INTEGER });
    const listing = await listArchive(blobs, key, { signal, limits: { ...listingLimits, ...limits } });
    if (listing === null) throw new Error("the archive is gone");
    return listing;
  }

  it("names files, directories and links of tar and tar.gz, with names of any length and content", async () => {
    const long = `${"d/".repeat(150)}file`;
    const tar = await tarOf(
      { name: "report/", type: "directory" },
      { name: "report/a.txt", text: "hello" },
      { name: long, text: "x" },
      { name: hostile, text: "y" },
      { name: "link", type: "symlink", linkname: "/etc/passwd" },
    );
    const entries = [
      { path: "report/", kind: "directory", bytes: 0 },
      { path: "report/a.txt", kind: "file", bytes: 5 },
      { path: long, kind: "file", bytes: 1 },
      { path: hostile, kind: "file", bytes: 1 },
      { path: "link", kind: "link", bytes: 0, linkTarget: "/etc/passwd" },
    ];
    expect(await list(tar)).toEqual({ format: "tar", entries, problem: null });
    expect(await list(gzipSync(tar))).toEqual({ format: "tar.gz", entries, problem: null });
  });

  it("names the entries of a zip, whatever their names and sizes are", async () => {
    const paths = Array.from({ length: 5000 }, (_, index) => ({ path: `many/${index}` }));
    const zip = zipOf(
      { path: "dir/" },
      { path: hostile, bytes: 2 ** 32 - 2 },
      { path: "link", mode: 0o120777 },
      { path: "/absolute", bytes: 3 },
      ...paths,
    );
    const { format, entries, problem } = await list(zip);
    expect([format, entries.length, problem]).toEqual(["zip", 5004, null]);
    expect(entries.slice(0, 5)).toEqual([
      { path: "dir/", kind: "directory", bytes: 0 },
      { path: hostile, kind: "file", bytes: 2 ** 32 - 2 },
      { path: "link", kind: "link", bytes: 0 },
      { path: "/absolute", kind: "file", bytes: 3 },
      { path: "many/0", kind: "file", bytes: 0 },
    ]);
  });

  it("stops in a bomb: of unpacked bytes, of entries, of names, of headers", async () => {
    const archive = pack();
    archive.entry({ name: "first" }, "1");
    const zeros = archive.entry({ name: "zeros", size: 64 * 2 ** 20 });
    Readable.from(Array.from({ length: 64 }, () => Buffer.alloc(2 ** 20))).pipe(zeros);
    zeros.once("finish", () => archive.finalize());
    const bomb = (archive as unknown as Readable).pipe(createGzip());
    const stopped = await list(bomb, { maxUnpackedBytes: 10 * 2 ** 20 });
    expect(stopped.entries.map(({ path }) => path)).toEqual(["first", "zeros"]);
    expect(stopped.problem).toBe("only its first 10 MiB were unpacked");

    const many = gzipSync(await tarOf(...Array.from({ length: 3000 }, (_, index) => ({ name: `${index}`, text: "" }))));
    const cut = await list(many, { maxEntries: 1000 });
    expect([cut.entries.length, cut.problem]).toEqual([1000, "it has more than 1,000 entries"]);
    const cutZip = await list(zipOf(...Array.from({ length: 3000 }, () => ({ path: "x" }))), { maxEntries: 1000 });
    expect([cutZip.entries.length, cutZip.problem]).toEqual([1000, "it has more than 1,000 entries"]);

    const names = Array.from({ length: 100 }, (_, index) => ({ name: `${index}/${"n".repeat(9000)}`, text: "" }));
    const cutNames = await list(await tarOf(...names), { maxNameLength: 50_000 });
    expect(cutNames.entries.length).toBe(12);
    expect(cutNames.entries[0]?.path.length).toBe(4097);
    expect(cutNames.problem).toBe("the names of its entries are too long in total");

    // A name of 8 MB is more than the parser keeps.
    const header = await list(
      gzipSync(await tarOf({ name: "n".repeat(8_000_000), text: "" }, { name: "b", text: "" })),
    );
    expect(header.entries.every(({ path }) => path.length < 5000)).toBe(true);
  });

  it("does not unpack an archive in an archive, and tells a damaged one", async () => {
    const tar = await tarOf({ name: "a", text: "1".repeat(5000) });
    expect(await list(gzipSync(gzipSync(tar)))).toEqual({
      format: "tar.gz",
      entries: [],
      problem: "it does not begin with the name of a file",
    });
    const half = gzipSync(tar).subarray(0, 60);
    expect((await list(half)).problem).toMatch(/damaged/);
    const zip = zipOf({ path: "a" });
    expect((await list(zip.subarray(0, zip.length - 10))).problem).toMatch(/damaged/);
    const lying = zipOf({ path: "a" });
    lying.writeUInt32LE(0xfffffff0, lying.length - 6);
    expect((await list(lying)).problem).toMatch(/damaged/);
  });

  it("says of other content that it is not an archive", async () => {
    for (const content of ["", "x", "PK", "plain text".repeat(1000)]) {
      expect(await list(Buffer.from(content))).toEqual({ format: null, entries: [], problem: null });
    }
    expect(await listArchive(blobs, "archives/none", { signal })).toBeNull();
  });
});

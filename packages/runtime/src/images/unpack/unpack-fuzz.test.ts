import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { gzipSync } from "node:zlib";
import { fuzzParameters, temporaryDirectory } from "@airlock/test-kit";
import fc from "fast-check";
import { expect, it } from "vitest";
import { defaultImageLimits } from "../manifest/image-limits.ts";
import { LayerError } from "./layer-error.ts";
import { LayerTree } from "./layer-tree.ts";
import { UnpackBudget } from "./unpack-budget.ts";
import { unpackLayer } from "./unpack-layer.ts";
import { flatWhiteouts } from "./whiteouts.ts";

const limits = { ...defaultImageLimits, unpackedBytes: 16 * 2 ** 20, entries: 1000, ratio: 200 };
const mostMemoryBytes = 256 * 2 ** 20;
/** An unpacking that takes longer hangs. */
const mostMs = 20_000;

const someName = fc.oneof(
  fc
    .array(
      fc.constantFrom(
        "a",
        "b",
        "..",
        ".",
        "",
        "outside",
        "secret.txt",
        ".wh.a",
        ".wh..wh..opq",
        ".wh...",
        "é",
        "\u202e",
        "\u009b",
      ),
      {
        minLength: 1,
        maxLength: 5,
      },
    )
    .map((parts) => parts.join("/")),
  fc.constantFrom("/", "", "../outside/secret.txt", "/etc/hostname", "a\0b", "n".repeat(300), "d/".repeat(300)),
);

/** The text of a field of numbers. */
const someNumber = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.nat({ max: 3000 }).map((value) => Buffer.from(`${value.toString(8).padStart(11, "0")}\0`)),
  },
  fc
    .constantFrom("77777777777\0", "-1\0", "99999\0", "NaN", "", " 1 2 3", "\0\0\0\0\0\0\0\0\0\0\0\0")
    .map((text) => Buffer.from(text)),
  // The form for numbers above 8 GiB, also negative ones.
  fc.uint8Array({ minLength: 12, maxLength: 12 }).map((bytes) => {
    bytes[0] = (bytes[0] ?? 0) % 2 ? 0x80 : 0xff;
    return Buffer.from(bytes);
  }),
);

const somePax = fc
  .array(
    fc.tuple(
      fc.constantFrom(
        "path",
        "linkpath",
        "size",
        "mtime",
        "uid",
        "gid",
        "GNU.sparse.major",
        "SCHILY.xattr.user.x",
        "x",
      ),
      fc.oneof(someName, fc.constantFrom("0", "-1", "1e99", "9007199254740993", "NaN", "", "3", "x".repeat(2000))),
    ),
    { maxLength: 3 },
  )
  .map((records) => records.map(([key, value]) => paxRecord(key, value)).join(""));

const someEntry = fc.record({
  name: someName,
  linkname: someName,
  type: fc.constantFrom("0", "\0", "1", "2", "3", "4", "5", "6", "7", "x", "g", "L", "K", "S", "Z"),
  size: fc.option(someNumber),
  mode: someNumber,
  uid: someNumber,
  mtime: someNumber,
  content: fc.oneof(somePax.map(Buffer.from), fc.uint8Array({ maxLength: 1500 }).map(Buffer.from)),
  isChecksumRight: fc.nat({ max: 30 }).map((value) => value > 0),
});

type Entry = typeof someEntry extends fc.Arbitrary<infer T> ? T : never;

/** Its length counts itself. Sometimes that is wrong, because names may have several bytes for a character. */
function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length;
  while (`${length}${rest}`.length !== length) length = `${length}${rest}`.length;
  return `${length}${rest}`;
}

function bytesOf(entry: Entry): Buffer {
  const header = Buffer.alloc(512);
  header.write(entry.name, 0, 100);
  entry.mode.copy(header, 100, 0, 8);
  entry.uid.copy(header, 108, 0, 8);
  header.write("0000000\0", 116);
  if (entry.size) entry.size.copy(header, 124, 0, 12);
  else header.write(`${entry.content.length.toString(8).padStart(11, "0")}\0`, 124);
  entry.mtime.copy(header, 136, 0, 12);
  header.fill(" ", 148, 156);
  header.write(entry.type, 156);
  header.write(entry.linkname, 157, 100);
  header.write("ustar\x0000", 257);
  const sum = header.reduce((total, byte) => total + byte, entry.isChecksumRight ? 0 : 1);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return Buffer.concat([header, entry.content, Buffer.alloc((512 - (entry.content.length % 512)) % 512)]);
}

const someArchive = fc
  .record({
    entries: fc.array(someEntry, { maxLength: 8 }),
    end: fc.constantFrom(0, 512, 1024, 2048),
    /** How much of the archive is there. */
    kept: fc.oneof({ weight: 3, arbitrary: fc.constant(1) }, fc.double({ min: 0, max: 1, noNaN: true })),
    isCompressed: fc.boolean(),
    pieces: fc.integer({ min: 1, max: 3000 }),
  })
  .map(({ entries, end, kept, isCompressed, pieces }) => {
    const plain = Buffer.concat([...entries.map(bytesOf), Buffer.alloc(end)]);
    const stored = isCompressed ? gzipSync(plain) : plain;
    return { plain, stored: stored.subarray(0, Math.ceil(stored.length * kept)), pieces };
  });

it("a hostile archive writes nothing outside the directory, never hangs, and gets a clear error", async () => {
  await using directory = await temporaryDirectory();
  const outside = join(directory.path, "outside");
  await mkdir(outside);
  await writeFile(join(outside, "secret.txt"), "untouched");
  let mostRss = 0;
  let unpacked = 0;
  const before = process.memoryUsage.rss();
  await fc.assert(
    fc.asyncProperty(someArchive, async ({ plain, stored, pieces }) => {
      const root = join(directory.path, "root");
      await rm(root, { recursive: true, force: true });
      await mkdir(root);
      const tree = new LayerTree({ root, keepOwners: false, idRange: null, directoryBelow: async () => undefined });
      const chunks = Array.from({ length: Math.ceil(stored.length / pieces) }, (_, index) =>
        stored.subarray(index * pieces, (index + 1) * pieces),
      );
      const content = {
        stream: Readable.from(chunks),
        storedBytes: stored.length,
        diffId: `sha256:${createHash("sha256").update(plain).digest("hex")}`,
      };
      const options = { budget: new UnpackBudget(limits), signal: AbortSignal.timeout(mostMs) };
      const failure = await unpackLayer(content, tree, flatWhiteouts(tree), options).then(
        () => null,
        (error: unknown) => error,
      );
      if (failure === null) unpacked += 1;
      else expect(failure).toBeInstanceOf(LayerError);
      if (failure instanceof LayerError) expect(failure.message).toMatch(/^\P{C}+$/u);
      mostRss = Math.max(mostRss, process.memoryUsage.rss());
      expect(await readdir(directory.path)).toEqual(["outside", "root"]);
      expect(await readdir(outside)).toEqual(["secret.txt"]);
      expect(await readFile(join(outside, "secret.txt"), "utf8")).toBe("untouched");
    }),
    fuzzParameters("layers", 300),
  );
  expect(unpacked).toBeGreaterThan(0);
  expect(mostRss - before).toBeLessThan(mostMemoryBytes);
}, 300_000);

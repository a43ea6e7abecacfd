import { createHash } from "node:crypto";
import { PassThrough, Readable, type Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { extract, type Header } from "tar-stream";
import type { Abortable } from "../../contract/index.ts";
import { LayerError } from "./layer-error.ts";
import { type EntryMetadata, type LayerTree, show } from "./layer-tree.ts";
import type { UnpackBudget } from "./unpack-budget.ts";
import { applyWhiteouts, type WhiteoutStyle } from "./whiteouts.ts";

const maxPathBytes = 3000;
const maxDepth = 256;
const maxNameBytes = 255;
const whiteoutPrefix = ".wh.";

/** Adds what tar-stream's types omit: PAX records, links without a target, and unknown types. */
type TarHeader = Omit<Header, "pax" | "linkname" | "type"> & {
  readonly type: Header["type"] | null;
  readonly linkname: string | null;
  readonly pax?: Readonly<Record<string, string | undefined>> | null;
};

export interface LayerContent {
  /** The layer as stored: plain, gzip or zstd. Detected by its first bytes, because media types can be wrong. */
  readonly stream: Readable;
  readonly storedBytes: number;
  /** Digest of the uncompressed archive from the image's configuration. */
  readonly diffId: string;
}

/**
 * Unpacks one layer, which is untrusted input. Nothing is written outside the tree, through links, or beyond the
 * budget. Devices and FIFOs are skipped.
 * https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md
 * @throws {LayerError} when the archive breaks a rule or does not have the digest from the image's configuration.
 */
export async function unpackLayer(
  content: LayerContent,
  tree: LayerTree,
  whiteouts: WhiteoutStyle,
  { budget, signal }: Abortable & { readonly budget: UnpackBudget },
): Promise<void> {
  const hash = createHash("sha256");
  let unpacked = 0;
  const archive = extract({ filenameEncoding: "latin1" } as object);
  const source = await decompressed(content.stream);
  const reading = pipeline(
    source,
    async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        unpacked += chunk.byteLength;
        budget.takeBytes(chunk.byteLength);
        budget.checkRatio(content.storedBytes, unpacked);
        hash.update(chunk);
        yield chunk;
      }
    },
    archive,
    { signal },
  );
  // When one side fails, the other fails as a consequence. Report the cause.
  const [read, written] = await Promise.allSettled([reading, writeEntries(archive, tree, whiteouts, budget)]);
  signal.throwIfAborted();
  for (const result of [read, written]) {
    if (result.status === "rejected" && result.reason instanceof LayerError) throw result.reason;
  }
  if (written.status === "rejected") throw asLayerError(written.reason);
  if (read.status === "rejected") throw asLayerError(read.reason);
  const diffId = `sha256:${hash.digest("hex")}`;
  if (diffId !== content.diffId)
    throw new LayerError(`its content is ${diffId}, not ${content.diffId} as the image says`);
}

async function writeEntries(
  archive: ReturnType<typeof extract>,
  tree: LayerTree,
  style: WhiteoutStyle,
  budget: UnpackBudget,
): Promise<void> {
  const deletions = { paths: new Set<string>(), opaque: new Set<string>() };
  for await (const entry of archive) {
    budget.takeEntry();
    const header = entry.header as TarHeader;
    const path = safePath(nameOf(header));
    const name = path.slice(path.lastIndexOf("/") + 1);
    if (name.startsWith(whiteoutPrefix)) {
      noteDeletion(path, name, deletions);
    } else {
      await writeEntry(header, path, entry as AsyncIterable<Uint8Array>, tree);
    }
    entry.resume();
  }
  await applyWhiteouts(tree, style, deletions);
  tree.finish();
}

async function writeEntry(
  header: TarHeader,
  path: string,
  content: AsyncIterable<Uint8Array>,
  tree: LayerTree,
): Promise<void> {
  const metadata = metadataOf(header);
  switch (header.type) {
    case "directory":
      return tree.addDirectory(path, metadata);
    case "file":
    case "contiguous-file":
      if (header.pax && Object.keys(header.pax).some((key) => key.startsWith("GNU.sparse."))) {
        throw new LayerError(`${show(path)} is a sparse file`);
      }
      return tree.addFile(path, header.size, metadata, content);
    case "symlink": {
      const target = linkTargetOf(header);
      if (target === "" || target.length > maxPathBytes)
        throw new LayerError(`${show(path)} is a link with a bad target`);
      return tree.addSymlink(path, target, metadata);
    }
    case "link":
      return tree.addHardLink(path, safePath(linkTargetOf(header)));
    // Steps get their own /dev, and the mounts of their root file systems have `nodev`.
    case "character-device":
    case "block-device":
    case "fifo":
      return;
    default:
      throw new LayerError(`${show(path)} is of an unknown type`);
  }
}

function noteDeletion(path: string, name: string, deletions: { paths: Set<string>; opaque: Set<string> }): void {
  const parent = path.slice(0, Math.max(0, path.length - name.length - 1));
  if (name === ".wh..wh..opq") {
    deletions.opaque.add(parent);
    return;
  }
  // Other names with a double prefix are AUFS metadata.
  if (name.startsWith(`${whiteoutPrefix}${whiteoutPrefix}`)) return;
  const deleted = name.slice(whiteoutPrefix.length);
  if (deleted === "" || deleted === "." || deleted === "..")
    throw new LayerError(`${show(path)} names no file to delete`);
  deletions.paths.add(parent === "" ? deleted : `${parent}/${deleted}`);
}

/** Normalizes and checks a path of the archive: `a/b`, or an empty string for the root itself. */
function safePath(name: string): string {
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) throw new LayerError(`${show(name)} leaves the layer`);
  if (parts.length > maxDepth) throw new LayerError(`${show(name)} is deeper than ${maxDepth} directories`);
  if (name.length > maxPathBytes) throw new LayerError(`${show(name)} is longer than ${maxPathBytes} bytes`);
  if (parts.some((part) => part.length > maxNameBytes))
    throw new LayerError(`${show(name)} has a name longer than ${maxNameBytes} bytes`);
  if (name.includes("\0")) throw new LayerError(`${show(name)} has a NUL`);
  return parts.join("/");
}

/** Returns the name as a latin1 string of its bytes. Headers are read as latin1, PAX records are UTF-8. */
function nameOf(header: TarHeader): string {
  return header.pax?.path ? Buffer.from(header.name).toString("latin1") : header.name;
}

function linkTargetOf(header: TarHeader): string {
  const target = header.linkname ?? "";
  return header.pax?.linkpath ? Buffer.from(target).toString("latin1") : target;
}

function metadataOf(header: TarHeader): EntryMetadata {
  const mtime = Number(header.pax?.mtime ?? header.mtime.getTime() / 1000);
  return {
    mode: header.mode & 0o7777,
    uid: id(header.pax?.uid ?? header.uid),
    gid: id(header.pax?.gid ?? header.gid),
    // File systems wrap around outside this range.
    mtime: Number.isFinite(mtime) ? Math.min(Math.max(mtime, 0), 0x3ffffffff) : 0,
  };
}

function id(value: string | number | undefined): number {
  const parsed = Number(value ?? 0);
  if (!Number.isInteger(parsed) || parsed < 0 || parsed >= 0xffffffff)
    throw new LayerError(`owner ${parsed} is not an id`);
  return parsed;
}

async function decompressed(stored: Readable): Promise<Readable> {
  const output = new PassThrough({ highWaterMark: 256 * 1024 });
  const chunks = stored[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let start = Buffer.alloc(0);
  while (start.byteLength < 4) {
    const next = await chunks.next();
    if (next.done) break;
    start = Buffer.concat([start, next.value]);
  }
  async function* all(): AsyncIterable<Buffer> {
    if (start.byteLength > 0) yield start;
    for (let next = await chunks.next(); !next.done; next = await chunks.next()) yield next.value;
  }
  const decoder = decoderFor(start);
  const source = Readable.from(all(), { objectMode: false });
  // Report errors of both sides to the reader of the output, which handles them.
  const done = decoder ? pipeline(source, decoder, output) : pipeline(source, output);
  done.catch((error: unknown) => output.destroy(error instanceof Error ? error : new Error(String(error))));
  return output;
}

function decoderFor(start: Buffer): Transform | undefined {
  if (start[0] === 0x1f && start[1] === 0x8b) return createGunzip({ chunkSize: 256 * 1024 });
  if (start.length >= 4 && start.readUInt32LE(0) === 0xfd2fb528) return createZstdDecompress({ chunkSize: 256 * 1024 });
  return undefined;
}

/** Format errors of the archive are the image's fault. System errors, such as a full disk, are not. */
function asLayerError(error: unknown): unknown {
  const isSystem = error instanceof Error && "syscall" in error;
  return isSystem ? error : new LayerError(error instanceof Error ? error.message : String(error), { cause: error });
}

import type { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import type { ArchiveEntry } from "@airlock/api";
import { formatBytes } from "@airlock/job";
import { Parser, type ReadEntry } from "tar";
import type { ArchiveEntries, ListingLimits } from "./archive-entries.ts";

/** Long names and attributes, which the parser keeps in memory. */
const maxHeaderBytes = 64 * 1024;

/** Lists a tar archive without keeping its content. Unpacks it in the thread pool, so that others are not held up. */
export async function listTar(
  stream: Readable,
  {
    gzip,
    entries,
    limits,
  }: { readonly gzip: boolean; readonly entries: ArchiveEntries; readonly limits: ListingLimits },
): Promise<void> {
  const source = gzip ? stream.pipe(createGunzip()) : stream;
  // `pipe` does not pass on that the blob store failed.
  if (gzip) stream.once("error", (error) => source.destroy(error));
  const parser = new Parser({
    maxMetaEntrySize: maxHeaderBytes,
    onReadEntry: (entry) => {
      entries.add(toEntry(entry));
      entry.resume();
    },
    onwarn: (code, message) => {
      // Other warnings are about attributes of an entry, which is listed all the same.
      if (code === "TAR_ENTRY_INVALID" || code === "TAR_BAD_ARCHIVE") entries.stop(`it is damaged: ${message}`);
    },
  });
  let bytes = 0;
  let ended = false;
  parser.on("eof", () => {
    ended = true;
  });
  try {
    for await (const chunk of source as AsyncIterable<Buffer>) {
      // The parser would unpack an archive in the archive by itself, and in this thread.
      if (bytes === 0 && (chunk[0] ?? 0) < 0x20) return entries.stop("it does not begin with the name of a file");
      bytes += chunk.length;
      parser.write(chunk);
      // Whatever follows the end is not part of the archive.
      if (ended || entries.isFull) return;
      if (bytes > limits.maxUnpackedBytes) {
        return entries.stop(`only its first ${formatBytes(limits.maxUnpackedBytes)} were unpacked`);
      }
    }
    parser.end();
  } finally {
    stream.destroy();
    source.destroy();
  }
}

function toEntry({ path, type, size, linkpath }: ReadEntry): ArchiveEntry {
  const bytes = Math.max(0, size);
  switch (type) {
    case "File":
    case "OldFile":
    case "ContiguousFile":
      return { path, kind: "file", bytes };
    case "Directory":
    case "GNUDumpDir":
      return { path, kind: "directory", bytes: 0 };
    case "Link":
    case "SymbolicLink":
      return { path, kind: "link", bytes: 0, linkTarget: linkpath ?? "" };
    default:
      return { path, kind: "other", bytes: 0 };
  }
}

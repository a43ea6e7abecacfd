import { buffer } from "node:stream/consumers";
import type { ArchiveListing } from "@airlock/api";
import { errorMessage } from "@airlock/job";
import type { BlobContent, BlobStore } from "../../blobs/blob-store.ts";
import { ArchiveEntries, type ListingLimits, listingLimits } from "./archive-entries.ts";
import { listTar } from "./list-tar.ts";
import { listZip } from "./list-zip.ts";

/** The first block of a tar archive. */
const headBytes = 512;

/**
 * Lists an archive that a job has made. Its content decides what it is, not its name. Memory, time and the number of
 * entries are bounded; what does not fit is left out, and the listing says so. `null`: the blob is gone.
 */
export async function listArchive(
  blobs: BlobStore,
  key: string,
  { signal, limits = listingLimits }: { readonly signal: AbortSignal; readonly limits?: ListingLimits },
): Promise<ArchiveListing | null> {
  const timeout = AbortSignal.timeout(limits.maxMs);
  const ending = AbortSignal.any([signal, timeout]);
  const whole = await blobs.get(key, { signal: ending });
  if (!whole) return null;
  const { totalBytes } = whole;
  whole.stream.destroy();
  const read = async (range?: { offset: number; length: number }): Promise<BlobContent["stream"]> => {
    const content = await blobs.get(key, { signal: ending, ...(range ? { range } : {}) });
    if (!content) throw new Error("it was deleted");
    return content.stream;
  };
  const entries = new ArchiveEntries(limits);
  let format: ArchiveListing["format"] = null;
  try {
    if (totalBytes > 0) {
      format = formatOf(await buffer(await read({ offset: 0, length: Math.min(headBytes, totalBytes) })));
    }
    if (format === "zip") await listZip((offset, length) => read({ offset, length }), totalBytes, entries);
    else if (format !== null) await listTar(await read(), { gzip: format === "tar.gz", entries, limits });
  } catch (error) {
    signal.throwIfAborted();
    entries.stop(timeout.aborted ? "listing it took too long" : `it is damaged: ${errorMessage(error).slice(0, 200)}`);
  }
  return { format, entries: entries.list, problem: entries.problem };
}

function formatOf(head: Buffer): ArchiveListing["format"] {
  if (head[0] === 0x1f && head[1] === 0x8b) return "tar.gz";
  if (head.subarray(0, 4).equals(Buffer.from("PK\x03\x04")) || head.subarray(0, 4).equals(Buffer.from("PK\x05\x06"))) {
    return "zip";
  }
  return head.subarray(257, 262).toString("latin1") === "ustar" ? "tar" : null;
}

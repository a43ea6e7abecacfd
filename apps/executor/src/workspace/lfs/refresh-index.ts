import { createHash } from "node:crypto";
import { readFile, rename, writeFile } from "node:fs/promises";

export interface PlacedFile {
  /** Latin1: one character per byte of the index's name. */
  readonly path: string;
  readonly size: number;
  /** Whole seconds since 1970. */
  readonly modifiedAt: number;
}

const headerBytes = 12;
const statBytes = 40;

/**
 * Updates the index for files whose content replaced a pointer, so that git sees them as unmodified. Records their size
 * and time, which is all that git compares with `core.checkStat=minimal`. Git itself would have to run a filter on each
 * file. Resolves to `false` when the index has an unknown format and was left unchanged.
 */
export async function refreshIndex(
  indexFile: string,
  placed: readonly PlacedFile[],
  objectIdBytes: 20 | 32,
): Promise<boolean> {
  const index = await readFile(indexFile);
  const content = index.subarray(0, index.length - objectIdBytes);
  const version = index.readUInt32BE(4);
  if (index.toString("latin1", 0, 4) !== "DIRC" || (version !== 2 && version !== 3)) return false;
  const files = new Map(placed.map((file) => [file.path, file]));
  let position = headerBytes;
  for (let count = index.readUInt32BE(8); count > 0; count -= 1) {
    const flagsAt = position + statBytes + objectIdBytes;
    const extended = (content.readUInt16BE(flagsAt) & 0x4000) !== 0;
    const pathAt = flagsAt + (extended ? 4 : 2);
    const pathEnd = content.indexOf(0, pathAt);
    if (pathEnd < 0) return false;
    const file = files.get(content.toString("latin1", pathAt, pathEnd));
    if (file) {
      content.writeUInt32BE(file.modifiedAt >>> 0, position + 8);
      content.writeUInt32BE(0, position + 12);
      content.writeUInt32BE(file.size % 2 ** 32, position + 36);
    }
    // Entries are padded to a multiple of eight bytes, with one to eight zero bytes after the path.
    position += Math.floor((pathEnd - position + 8) / 8) * 8;
  }
  const sum = createHash(objectIdBytes === 32 ? "sha256" : "sha1")
    .update(content)
    .digest();
  const making = `${indexFile}.airlock`;
  await writeFile(making, Buffer.concat([content, sum]));
  await rename(making, indexFile);
  return true;
}

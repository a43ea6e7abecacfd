import type { BlobStore } from "../blobs/blob-store.ts";
import { chainIds } from "../manifest/chain-id.ts";
import { layerName } from "../manifest/image-parts.ts";
import { parseConfig } from "../pulls/pull-image.ts";
import { parseImageReference } from "../reference/image-reference.ts";
import type { ImageRecord } from "./image-records.ts";

/** The parts that a pull may take from the store instead of from its registry. */
export interface ProvenParts {
  /** Whether this blob of the store may be used. */
  hasBlob(digest: string): boolean;
  /** Whether the unpacked layer `name` may be used for the layer that has this digest in the registry. */
  hasLayer(digest: string, name: string): boolean;
}

export const everythingProven: ProvenParts = { hasBlob: () => true, hasLayer: () => true };

/**
 * Collects the parts of public images and of private images from the same registry. Knowing a digest does not prove
 * access to its content. Otherwise a hostile registry could obtain private layers of another registry by naming their
 * digests. It has to send the content of parts that only private images contain.
 * A configuration may also lie about what a digest unpacks to. So a digest and the name of its unpacked layer only
 * count as a pair.
 */
export async function provenParts(
  registry: string,
  records: readonly ImageRecord[],
  blobs: BlobStore,
): Promise<ProvenParts> {
  const digests = new Set<string>();
  const layers = new Set<string>();
  for (const record of records) {
    if (record.isPrivate && parseImageReference(record.reference).registry !== registry) continue;
    for (const { digest } of [record.config, ...record.layers]) digests.add(digest);
    if (!(await blobs.has(record.config.digest))) continue;
    const config = parseConfig(record.reference, await blobs.read(record.config.digest), record);
    for (const [index, chainId] of chainIds(config.rootfs.diff_ids ?? []).entries()) {
      layers.add(`${record.layers[index]?.digest} ${layerName(chainId)}`);
    }
  }
  return {
    hasBlob: (digest) => digests.has(digest),
    hasLayer: (digest, name) => layers.has(`${digest} ${name}`),
  };
}

import type { BlobStore } from "../blobs/blob-store.ts";
import { chainIds } from "../manifest/chain-id.ts";
import { layerName } from "../manifest/image-parts.ts";
import { parseConfig } from "../pulls/pull-image.ts";
import { parseImageReference } from "../reference/image-reference.ts";
import type { ImageRecord } from "./image-records.ts";

/** What a pull may take from the store instead of from its registry. */
export interface ProvenParts {
  /** Whether a blob may be used as it is here. */
  hasBlob(digest: string): boolean;
  /** Whether the unpacked layer of this name may be used for a layer that the registry keeps under this digest. */
  hasLayer(digest: string, name: string): boolean;
}

export const everythingProven: ProvenParts = { hasBlob: () => true, hasLayer: () => true };

/**
 * Parts of public images, and of images of the same registry. Whoever names digests in a manifest need not have their
 * content: a hostile registry would get the layers of a private image of another one by their digests alone. It has to
 * send what only private images are made of. And a configuration may lie about which layer a digest unpacks to, so that
 * the two count together only.
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

import { join } from "node:path";
import { chainIds } from "./chain-id.ts";
import type { ImageConfig, ImageManifest } from "./image-manifest.ts";

/** By which names the parts of an image lie in the store. */
export interface ImageParts {
  /** Below the store's directory. */
  readonly blobs: readonly string[];
  /** Below a directory of layers, in either style; not all of them need to be there. */
  readonly layers: readonly string[];
}

export function partsOf(manifest: ImageManifest, config: ImageConfig): ImageParts {
  const chain = chainIds(config.rootfs.diff_ids ?? []);
  return { blobs: blobsOf(manifest), layers: [...chain.map(layerName), flatName(chain)] };
}

export function blobsOf({ config, layers }: ImageManifest): readonly string[] {
  return [config, ...layers].map(({ digest }) => join("blobs", digest.replace(":", "-")));
}

/** Short, since overlayfs takes the names of all layers in one page; 128 bits are past finding a second image for. */
export function layerName(chainId: string): string {
  return chainId.slice("sha256:".length, "sha256:".length + 32);
}

/** Of all layers in one directory. */
export function flatName(chain: readonly string[]): string {
  return `flat-${layerName(chain.at(-1) ?? "sha256:empty")}`;
}

import { join } from "node:path";
import { chainIds } from "./chain-id.ts";
import type { ImageConfig, ImageManifest } from "./image-manifest.ts";

/** The names of an image's parts in the store. */
export interface ImageParts {
  /** Paths below the store's directory. */
  readonly blobs: readonly string[];
  /** Names below a directory of layers, for both styles. Not all of them need to exist. */
  readonly layers: readonly string[];
}

export function partsOf(manifest: ImageManifest, config: ImageConfig): ImageParts {
  const chain = chainIds(config.rootfs.diff_ids ?? []);
  return { blobs: blobsOf(manifest), layers: [...chain.map(layerName), flatName(chain)] };
}

export function blobsOf({ config, layers }: ImageManifest): readonly string[] {
  return [config, ...layers].map(({ digest }) => join("blobs", digest.replace(":", "-")));
}

/**
 * Short, because overlayfs reads the names of all layers from one page. 128 bits keep a second-preimage attack
 * infeasible.
 */
export function layerName(chainId: string): string {
  return chainId.slice("sha256:".length, "sha256:".length + 32);
}

/** Name of the directory that holds all layers of an image. */
export function flatName(chain: readonly string[]): string {
  return `flat-${layerName(chain.at(-1) ?? "sha256:empty")}`;
}

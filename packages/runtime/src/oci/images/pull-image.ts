import { errorMessage } from "@airlock/job";
import { imageInvalid, imageUnavailable } from "../../errors.ts";
import { BlobIncompleteError, BlobMismatchError, type BlobStore } from "./blob-store.ts";
import { chainIds, sha256 } from "./chain-id.ts";
import type { ImageLimits } from "./image-limits.ts";
import {
  type Descriptor,
  ImageConfig,
  ImageIndex,
  ImageManifest,
  imageArchitecture,
  manifestMediaTypes,
  selectPlatform,
} from "./image-manifest.ts";
import type { ImageReference } from "../../images/image-reference.ts";
import type { RegistryAccess, RegistryClient } from "./registry-client.ts";
import type { TaskOptions } from "../../images/shared-tasks.ts";

export interface StoredImage {
  /** Whether it took credentials to get it. */
  readonly isPrivate: boolean;
  readonly manifest: ImageManifest;
  readonly config: ImageConfig;
}

export interface PullOptions extends TaskOptions, RegistryAccess {
  readonly limits: ImageLimits;
  /** Layers that are unpacked already are not fetched again. */
  readonly isUnpacked: (chainId: string) => Promise<boolean>;
}

const parallelDownloads = 3;

/**
 * Brings everything that an image is made of into the blob store.
 * @throws {AirlockError} reason `image-invalid` or `image-unavailable`.
 */
export async function pullImage(
  image: ImageReference,
  registry: RegistryClient,
  blobs: BlobStore,
  options: PullOptions,
): Promise<StoredImage> {
  const { signal, progress, limits, credentials } = options;
  progress(`looking up ${image.canonical}`);
  const expected = image.version.kind === "digest" ? image.version.text : undefined;
  const { manifest, isPrivate } = await fetchManifest(image, expected, registry, options);
  checkManifest(image, manifest, limits);

  const fetchBlob = async (blob: Descriptor, onBytes: (bytes: number) => void) => {
    if (await blobs.has(blob.digest)) {
      onBytes(blob.size);
      return;
    }
    try {
      const content = await registry.blob(image, blob.digest, { signal, credentials });
      await blobs.write(content, { signal, digest: blob.digest, maxBytes: blob.size, progress: onBytes });
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof BlobMismatchError && !(error instanceof BlobIncompleteError))
        throw imageInvalid(image.canonical, `is damaged: ${error.message}`, error);
      if (error instanceof Error && error.name === "AirlockError") throw error;
      throw imageUnavailable(image.canonical, error);
    }
  };

  await fetchBlob(manifest.config, () => {});
  const config = parseConfig(image.canonical, await blobs.read(manifest.config.digest), manifest);

  const missing: Descriptor[] = [];
  for (const [index, chainId] of chainIds(config.rootfs.diff_ids ?? []).entries()) {
    const layer = manifest.layers[index];
    if (layer && !(await options.isUnpacked(chainId))) missing.push(layer);
  }
  const total = missing.reduce((sum, layer) => sum + layer.size, 0);
  let fetchedBytes = 0;
  let fetchedLayers = 0;
  let lastPercent = -1;
  const report = (bytes: number) => {
    fetchedBytes += bytes;
    const percent = total === 0 ? 100 : Math.floor((fetchedBytes * 100) / total);
    if (percent === lastPercent) return;
    lastPercent = percent;
    progress(`pulling layer ${Math.min(fetchedLayers + 1, missing.length)} of ${missing.length}, ${percent} %`);
  };
  // The same layer may be there twice; it is fetched once.
  const queue = [...new Map(missing.map((layer) => [layer.digest, layer])).values()];
  const stop = new AbortController();
  const worker = async () => {
    for (let layer = queue.shift(); layer !== undefined && !stop.signal.aborted; layer = queue.shift()) {
      await fetchBlob(layer, report);
      fetchedLayers += 1;
    }
  };
  const results = await Promise.allSettled(
    Array.from({ length: parallelDownloads }, () =>
      worker().catch((error: unknown) => {
        stop.abort();
        throw error;
      }),
    ),
  );
  for (const result of results) if (result.status === "rejected") throw result.reason;
  return { manifest, config, isPrivate };
}

async function fetchManifest(
  image: ImageReference,
  expected: string | undefined,
  registry: RegistryClient,
  options: PullOptions,
): Promise<{ readonly manifest: ImageManifest; readonly isPrivate: boolean }> {
  let version = image.version.text;
  let digest = expected;
  // An index leads to a manifest; an index in an index is allowed by nobody's tools.
  for (let depth = 0; depth < 2; depth += 1) {
    const { bytes, mediaType, isPrivate } = await registry.manifest(image, version, options);
    if (digest !== undefined && sha256(bytes) !== digest) {
      throw imageInvalid(image.canonical, `is damaged: its manifest has the digest ${sha256(bytes)}`);
    }
    const parsed = parseManifest(image.canonical, bytes, mediaType);
    if (parsed.kind === "manifest") return { manifest: parsed.manifest, isPrivate };
    const chosen = selectPlatform(parsed.index, imageArchitecture());
    if (!chosen) throw imageInvalid(image.canonical, `is not made for linux/${imageArchitecture()}`);
    version = chosen.digest;
    digest = chosen.digest;
  }
  throw imageInvalid(image.canonical, "is an index of indexes");
}

/** Parses a manifest or an index; which of them it is stands in itself, or else in the media type that it came with. */
export function parseManifest(
  name: string,
  bytes: Buffer,
  mediaType: string,
):
  | { readonly kind: "manifest"; readonly manifest: ImageManifest }
  | { readonly kind: "index"; readonly index: ImageIndex } {
  const document = parseJson(name, bytes);
  const own =
    typeof document === "object" && document !== null && "mediaType" in document ? document.mediaType : undefined;
  const type = typeof own === "string" ? own : mediaType;
  const hasManifests = typeof document === "object" && document !== null && "manifests" in document;
  if (manifestMediaTypes.slice(0, 2).includes(type) || (!manifestMediaTypes.includes(type) && hasManifests)) {
    const index = ImageIndex.safeParse(document);
    if (!index.success) throw imageInvalid(name, "has a malformed index", index.error);
    return { kind: "index", index: index.data };
  }
  const manifest = ImageManifest.safeParse(document);
  if (!manifest.success) throw imageInvalid(name, "has a malformed or outdated manifest", manifest.error);
  return { kind: "manifest", manifest: manifest.data };
}

export function checkManifest(
  image: { readonly canonical: string },
  manifest: ImageManifest,
  limits: ImageLimits,
): void {
  const stored = manifest.layers.reduce((sum, layer) => sum + layer.size, 0);
  if (manifest.layers.length > limits.layers)
    throw imageInvalid(image.canonical, `has more than ${limits.layers} layers`);
  if (stored > limits.compressedBytes)
    throw imageInvalid(image.canonical, `is larger than ${limits.compressedBytes} bytes`);
  if (manifest.config.size > limits.documentBytes)
    throw imageInvalid(image.canonical, "has a configuration that is too large");
}

export function parseConfig(name: string, bytes: Buffer, manifest: ImageManifest): ImageConfig {
  const config = ImageConfig.safeParse(parseJson(name, bytes));
  if (!config.success) throw imageInvalid(name, "is no container image: malformed configuration", config.error);
  if (config.data.os !== "linux" || config.data.architecture !== imageArchitecture()) {
    const made = `${config.data.os}/${config.data.architecture}`.slice(0, 100);
    throw imageInvalid(name, `is made for ${made}, not for linux/${imageArchitecture()}`);
  }
  if ((config.data.rootfs.diff_ids ?? []).length !== manifest.layers.length) {
    throw imageInvalid(name, "has a configuration that does not fit its layers");
  }
  return config.data;
}

function parseJson(name: string, bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch (error) {
    throw imageInvalid(name, `has a document that is no JSON: ${errorMessage(error)}`, error);
  }
}

import { errorMessage } from "@airlock/job";
import { imageInvalid, imageUnavailable, notMadeFor } from "../../contract/index.ts";
import { BlobIncompleteError, BlobMismatchError, type BlobStore } from "../blobs/blob-store.ts";
import { chainIds, sha256 } from "../manifest/chain-id.ts";
import type { ImageLimits } from "../manifest/image-limits.ts";
import {
  type Descriptor,
  ImageConfig,
  ImageIndex,
  ImageManifest,
  imageArchitecture,
  manifestMediaTypes,
  selectPlatform,
} from "../manifest/image-manifest.ts";
import type { ImageReference } from "../reference/image-reference.ts";
import type { ImageSource, RegistryAccess, RegistryClient } from "../registry/registry-client.ts";
import { pullWords } from "./pull-words.ts";
import type { TaskOptions } from "./shared-tasks.ts";

export interface StoredImage {
  /** Digest of the index or manifest that the tag pointed to when it was pulled. `null`: loaded from an archive. */
  readonly digest: string | null;
  /** Whether the image was pulled with credentials. */
  readonly isPrivate: boolean;
  readonly manifest: ImageManifest;
  readonly config: ImageConfig;
}

export interface PullOptions extends TaskOptions, RegistryAccess {
  readonly limits: ImageLimits;
  /** Called with the image's parts before they are looked up in the store. */
  readonly onManifest: (manifest: ImageManifest) => Promise<void>;
  readonly onConfig: (manifest: ImageManifest, config: ImageConfig) => Promise<void>;
  /** Whether this blob may be taken from the store if it is there. */
  readonly mayReuse: (digest: string) => boolean;
  /** Whether this layer is already unpacked. Then it is not fetched. */
  readonly isUnpacked: (chainId: string, digest: string) => Promise<boolean>;
}

const parallelDownloads = 3;

/**
 * Copies all parts of an image into the blob store.
 * @throws {AirlockError} reason `image-invalid` or `image-unavailable`.
 */
export async function pullImage(
  image: ImageReference,
  registry: RegistryClient,
  blobs: BlobStore,
  options: PullOptions,
): Promise<StoredImage> {
  const { signal, progress, limits, credentials, patience } = options;
  progress(`looking up ${image.canonical}`);
  const expected = image.version.kind === "digest" ? image.version.text : undefined;
  const { manifest, isPrivate, digest } = await registry.fromSources(image, options, async (source) => {
    const found = await fetchManifest(image, expected, registry, source, options);
    checkManifest(image, found.manifest, limits);
    return found;
  });

  const fetchBlob = async (blob: Descriptor, onBytes: (bytes: number) => void) => {
    if (options.mayReuse(blob.digest) && (await blobs.has(blob.digest))) {
      onBytes(blob.size);
      return;
    }
    await registry.fromSources(image, options, async (source) => {
      let received = 0;
      const count = (bytes: number) => {
        received += bytes;
        onBytes(bytes);
      };
      try {
        const content = await registry.blob(image, source, blob.digest, { signal, credentials, patience });
        await blobs.write(content, { signal, digest: blob.digest, maxBytes: blob.size, progress: count });
      } catch (error) {
        signal.throwIfAborted();
        // The next source starts from the beginning.
        onBytes(-received);
        if (error instanceof BlobMismatchError && !(error instanceof BlobIncompleteError))
          throw imageInvalid(image.canonical, `is damaged: ${error.message}`, error);
        if (error instanceof Error && error.name === "AirlockError") throw error;
        throw imageUnavailable(image.canonical, error);
      }
    });
  };

  await options.onManifest(manifest);
  await fetchBlob(manifest.config, () => {});
  const config = parseConfig(image.canonical, await blobs.read(manifest.config.digest), manifest);
  await options.onConfig(manifest, config);

  const missing: Descriptor[] = [];
  for (const [index, chainId] of chainIds(config.rootfs.diff_ids ?? []).entries()) {
    const layer = manifest.layers[index];
    if (layer && !(await options.isUnpacked(chainId, layer.digest))) missing.push(layer);
  }
  // An image may contain the same layer twice. Fetch it once.
  const queue = [...new Map(missing.map((layer) => [layer.digest, layer])).values()];
  const total = queue.reduce((sum, layer) => sum + layer.size, 0);
  const layers = queue.length;
  let fetchedBytes = 0;
  let fetchedLayers = 0;
  let lastPercent = -1;
  const report = (bytes: number) => {
    fetchedBytes += bytes;
    const percent = total === 0 ? 100 : Math.floor((fetchedBytes * 100) / total);
    if (percent === lastPercent) return;
    lastPercent = percent;
    const state = { layers, finishedLayers: fetchedLayers, bytes: fetchedBytes, totalBytes: total };
    progress(pullWords({ verb: "pulling", ...state }));
  };
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
  return { manifest, config, isPrivate, digest };
}

async function fetchManifest(
  image: ImageReference,
  expected: string | undefined,
  registry: RegistryClient,
  source: ImageSource,
  options: PullOptions,
): Promise<{ readonly manifest: ImageManifest; readonly isPrivate: boolean; readonly digest: string }> {
  let version = image.version.text;
  let digest = expected;
  let top: string | undefined;
  // Follow an index to a manifest. No known tool produces an index of indexes.
  for (let depth = 0; depth < 2; depth += 1) {
    const { bytes, mediaType, isPrivate } = await registry.manifest(image, source, version, options);
    top ??= sha256(bytes);
    if (digest !== undefined && sha256(bytes) !== digest) {
      throw imageInvalid(image.canonical, `is damaged: its manifest has the digest ${sha256(bytes)}`);
    }
    const parsed = parseManifest(image.canonical, bytes, mediaType);
    if (parsed.kind === "manifest") return { manifest: parsed.manifest, isPrivate, digest: top };
    const chosen = selectPlatform(parsed.index, imageArchitecture());
    if (!chosen) throw notMadeFor(image.canonical, `linux/${imageArchitecture()}`);
    version = chosen.digest;
    digest = chosen.digest;
  }
  throw imageInvalid(image.canonical, "is an index of indexes");
}

/**
 * Parses a manifest or an index. The document's own `mediaType` tells which it is, otherwise the response's media type.
 */
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
  if (!config.success) throw imageInvalid(name, "is not a container image: malformed configuration", config.error);
  if (config.data.os !== "linux" || config.data.architecture !== imageArchitecture()) {
    const made = `${config.data.os}/${config.data.architecture}`.slice(0, 100);
    throw imageInvalid(name, `is built for ${made}, not for linux/${imageArchitecture()}`);
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
    throw imageInvalid(name, `has a document that is not JSON: ${errorMessage(error)}`, error);
  }
}

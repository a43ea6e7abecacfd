import { createHash } from "node:crypto";
import type { ImageConfig } from "./fixture-images.ts";

/** A layer as described in a manifest. */
export interface LayerDescriptor {
  readonly mediaType: string;
  /** `sha256:…` of the stored (compressed) layer. */
  readonly digest: string;
  /** Size of the stored layer in bytes. */
  readonly size: number;
  /** `sha256:…` of the uncompressed layer. */
  readonly diffId: string;
}

export interface ImageDocument {
  readonly mediaType: string;
  /** `sha256:…` */
  readonly digest: string;
  readonly bytes: Buffer;
}

export const indexType = "application/vnd.oci.image.index.v1+json";
const configType = "application/vnd.oci.image.config.v1+json";
const manifestType = "application/vnd.oci.image.manifest.v1+json";

const architectures: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };

/** Configuration and manifest of an image for linux on this machine's architecture; layers bottom first. */
export function imageDocuments(
  layers: readonly LayerDescriptor[],
  config: ImageConfig,
): { readonly config: ImageDocument; readonly manifest: ImageDocument } {
  const configDocument = document(configType, {
    created: "2026-01-01T00:00:00Z",
    architecture: architectures[process.arch] ?? process.arch,
    os: "linux",
    config,
    rootfs: { type: "layers", diff_ids: layers.map(({ diffId }) => diffId) },
    history: layers.map(() => ({ created: "2026-01-01T00:00:00Z", created_by: "fixture" })),
  });
  const manifest = document(manifestType, {
    schemaVersion: 2,
    mediaType: manifestType,
    config: { mediaType: configType, digest: configDocument.digest, size: configDocument.bytes.length },
    layers: layers.map(({ mediaType, digest, size }) => ({ mediaType, digest, size })),
  });
  return { config: configDocument, manifest };
}

export function digestOf(bytes: Buffer): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

function document(mediaType: string, value: unknown): ImageDocument {
  const bytes = Buffer.from(JSON.stringify(value));
  return { mediaType, bytes, digest: digestOf(bytes) };
}

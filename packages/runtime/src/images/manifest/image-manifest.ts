import { z } from "zod";
import { digestPattern } from "../reference/image-reference.ts";

const Digest = z.string().regex(digestPattern, "digest other than sha256");
const Size = z.int().min(0);

/**
 * https://github.com/opencontainers/image-spec/blob/v1.1.0/descriptor.md
 * All schemas here contain only the fields that we use.
 */
export const Descriptor = z.object({
  mediaType: z.string().max(255).default(""),
  digest: Digest,
  size: Size,
  annotations: z.record(z.string(), z.string()).optional(),
});
export type Descriptor = z.infer<typeof Descriptor>;

/** An OCI image index or a Docker manifest list. */
export const ImageIndex = z.object({
  manifests: z
    .array(
      Descriptor.extend({
        platform: z.object({ os: z.string(), architecture: z.string(), variant: z.string().optional() }).optional(),
      }),
    )
    .max(1000),
});
export type ImageIndex = z.infer<typeof ImageIndex>;

/** An OCI image manifest or a Docker manifest, schema 2. */
export const ImageManifest = z.object({
  config: Descriptor,
  layers: z.array(Descriptor).max(1000),
});
export type ImageManifest = z.infer<typeof ImageManifest>;

export const ImageConfig = z.object({
  architecture: z.string(),
  os: z.string(),
  config: z
    .object({
      User: z.string().max(512).nullish(),
      // `checkDeclaredPlaces` looks at the lengths.
      Env: z.array(z.string()).max(10_000).nullish(),
      WorkingDir: z.string().max(4096).nullish(),
      Volumes: z.record(z.string(), z.unknown()).nullish(),
    })
    .nullish(),
  rootfs: z.object({ type: z.literal("layers"), diff_ids: z.array(Digest).max(1000).nullable() }),
});
export type ImageConfig = z.infer<typeof ImageConfig>;

/** `manifest.json` of a `docker save` archive. */
export const DockerArchiveManifest = z
  .array(
    z.object({ Config: z.string(), RepoTags: z.array(z.string()).nullish(), Layers: z.array(z.string()).max(1000) }),
  )
  .max(1000);

export const manifestMediaTypes = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json",
];

/** This machine's CPU, spelled as in image manifests. */
export function imageArchitecture(cpu: NodeJS.Architecture = process.arch): string {
  const names: Partial<Record<NodeJS.Architecture, string>> = { x64: "amd64", ia32: "386" };
  return names[cpu] ?? cpu;
}

/** The entry of an index that runs on this machine, or `undefined`. */
export function selectPlatform(index: ImageIndex, architecture: string): Descriptor | undefined {
  const candidates = index.manifests.filter(
    (entry) => entry.platform?.os === "linux" && entry.platform.architecture === architecture,
  );
  // Prefer entries without a variant or with the usual one of arm64.
  const plain = candidates.find((entry) => [undefined, "", "v8"].includes(entry.platform?.variant));
  return (
    plain ?? candidates[0] ?? (index.manifests.length === 1 ? index.manifests.find((e) => !e.platform) : undefined)
  );
}

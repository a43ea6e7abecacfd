import { randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, readFile, rm, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { AirlockError } from "@airlock/job";
import { extract } from "tar-stream";
import type { Abortable } from "../../contract/index.ts";
import { imageUnusable } from "../../contract/index.ts";
import { errorCode } from "../../host/error-code.ts";
import type { BlobStore } from "../blobs/blob-store.ts";
import { sha256 } from "../manifest/chain-id.ts";
import type { ImageLimits } from "../manifest/image-limits.ts";
import {
  type Descriptor,
  DockerArchiveManifest,
  type ImageConfig,
  ImageManifest,
  imageArchitecture,
  selectPlatform,
} from "../manifest/image-manifest.ts";
import { digestPattern } from "../reference/image-reference.ts";
import { checkManifest, parseConfig, parseManifest, type StoredImage } from "./pull-image.ts";

export interface LoadedImage extends StoredImage {
  /** Names from the archive. Empty for an image without a name. */
  readonly names: readonly string[];
}

const maxArchiveFiles = 10_000;

const archiveHint = "Name an OCI layout or an archive of docker save. If it is damaged, make it again.";

/**
 * Copies the images of an OCI layout (directory or tar) or of a `docker save` archive into the blob store.
 * @throws {AirlockError} reason `image-invalid` when it is neither, or damaged.
 */
export async function loadArchive(
  archivePath: string,
  blobs: BlobStore,
  options: Abortable & { readonly limits: ImageLimits; readonly temporaryDirectory: string },
): Promise<readonly LoadedImage[]> {
  if (await isDirectory(archivePath)) return loadFiles(archivePath, directoryFiles(archivePath), blobs, options);
  const scratch = join(options.temporaryDirectory, `${process.pid}-${randomUUID()}`);
  await mkdir(scratch, { mode: 0o700 });
  try {
    const files = await unpackArchive(archivePath, scratch, options);
    return await loadFiles(archivePath, files, blobs, options);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

function archiveInvalid(archivePath: string, problem: string, cause?: unknown): AirlockError {
  return imageUnusable(archivePath, problem, archiveHint, cause);
}

async function isDirectory(archivePath: string): Promise<boolean> {
  try {
    return (await stat(archivePath)).isDirectory();
  } catch (cause) {
    throw new AirlockError(`the archive ${archivePath} can't be read`, {
      code: "image-invalid",
      reason: "image-invalid",
      hint: archiveHint,
      cause,
    });
  }
}

/** Returns the path of a file of the archive on disk, or `undefined` if the archive has no such file. */
type ArchiveFiles = (name: string) => Promise<string | undefined>;

function directoryFiles(directory: string): ArchiveFiles {
  return async (name) => {
    const path = join(directory, name);
    try {
      await stat(path);
      return path;
    } catch (error) {
      if (errorCode(error) === "ENOENT") return undefined;
      throw error;
    }
  };
}

/** Unpacks the archive into numbered files: the names in the archive are untrusted and must never become paths. */
async function unpackArchive(
  archivePath: string,
  scratch: string,
  { signal, limits }: Abortable & { readonly limits: ImageLimits },
): Promise<ArchiveFiles> {
  const paths = new Map<string, string>();
  const links = new Map<string, string>();
  const archive = extract();
  const writing = async () => {
    let bytes = 0;
    for await (const entry of archive) {
      const name = normalized(entry.header.name);
      if (paths.size + links.size >= maxArchiveFiles) throw archiveInvalid(archivePath, "has too many files");
      if (entry.header.type === "symlink" || entry.header.type === "link") {
        const target = entry.header.linkname ?? "";
        const base = entry.header.type === "symlink" ? name.split("/").slice(0, -1).join("/") : "";
        links.set(name, normalized(`${base}/${target}`));
      } else if (entry.header.type === "file") {
        const path = join(scratch, String(paths.size));
        await using file = await open(path, "wx", 0o600);
        for await (const chunk of entry as AsyncIterable<Uint8Array>) {
          bytes += chunk.byteLength;
          if (bytes > limits.unpackedBytes) throw archiveInvalid(archivePath, "is too large");
          await file.writeFile(chunk);
        }
        paths.set(name, path);
      }
      entry.resume();
    }
  };
  const [read, written] = await Promise.allSettled([
    pipeline(createReadStream(archivePath), archive, { signal }),
    writing(),
  ]);
  signal.throwIfAborted();
  if (written.status === "rejected" && written.reason instanceof Error && written.reason.name === "AirlockError") {
    throw written.reason;
  }
  for (const result of [read, written]) {
    if (result.status === "rejected") throw archiveInvalid(archivePath, "is not an image archive", result.reason);
  }
  return async (name) => paths.get(name) ?? paths.get(links.get(name) ?? "");
}

function normalized(name: string): string {
  const parts: string[] = [];
  for (const part of name.split("/")) {
    if (part === "" || part === ".") continue;
    if (part === "..") parts.pop();
    else parts.push(part);
  }
  return parts.join("/");
}

async function loadFiles(
  archivePath: string,
  files: ArchiveFiles,
  blobs: BlobStore,
  options: Abortable & { readonly limits: ImageLimits },
): Promise<readonly LoadedImage[]> {
  const index = await files("index.json");
  if (index !== undefined) return loadOciLayout(archivePath, index, files, blobs, options);
  const manifest = await files("manifest.json");
  if (manifest !== undefined) return loadDockerArchive(archivePath, manifest, files, blobs, options);
  throw archiveInvalid(archivePath, "is neither an OCI layout nor a docker save archive");
}

async function loadOciLayout(
  archivePath: string,
  indexPath: string,
  files: ArchiveFiles,
  blobs: BlobStore,
  options: Abortable & { readonly limits: ImageLimits },
): Promise<readonly LoadedImage[]> {
  const { signal, limits } = options;
  const blobPath = async (descriptor: Descriptor) => {
    const path = await files(`blobs/${descriptor.digest.replace(":", "/")}`);
    if (path === undefined) throw archiveInvalid(archivePath, `has no blob ${descriptor.digest}`);
    return path;
  };
  const readDocument = async (descriptor: Descriptor) => {
    const bytes = await readBounded(archivePath, await blobPath(descriptor), limits);
    if (sha256(bytes) !== descriptor.digest) throw archiveInvalid(archivePath, `is damaged: blob ${descriptor.digest}`);
    return bytes;
  };
  const top = parseManifest(
    archivePath,
    await readBounded(archivePath, indexPath, limits),
    "application/vnd.oci.image.index.v1+json",
  );
  if (top.kind !== "index") throw archiveInvalid(archivePath, "has an index.json that is not an image index");

  const loaded: LoadedImage[] = [];
  for (const entry of top.index.manifests) {
    let parsed = parseManifest(archivePath, await readDocument(entry), entry.mediaType);
    if (parsed.kind === "index") {
      const chosen = selectPlatform(parsed.index, imageArchitecture());
      if (!chosen) continue;
      parsed = parseManifest(archivePath, await readDocument(chosen), chosen.mediaType);
    }
    if (parsed.kind !== "manifest") throw archiveInvalid(archivePath, "is an index of indexes");
    const { manifest } = parsed;
    checkManifest({ canonical: archivePath }, manifest, limits);
    for (const blob of [manifest.config, ...manifest.layers]) {
      await importFile(archivePath, await blobPath(blob), blobs, { signal, digest: blob.digest, maxBytes: blob.size });
    }
    const config = parseConfig(archivePath, await blobs.read(manifest.config.digest), manifest);
    const name =
      entry.annotations?.["io.containerd.image.name"] ?? entry.annotations?.["org.opencontainers.image.ref.name"];
    loaded.push({
      manifest,
      config,
      isPrivate: false,
      digest: null,
      names: name === undefined ? [] : [fullName(archivePath, name)],
    });
  }
  return loaded;
}

/** Completes a name. OCI layouts often contain bare tags; then the layout's file name becomes the repository. */
function fullName(archivePath: string, name: string): string {
  if (/[/:@]/.test(name)) return name;
  const repository = basename(archivePath)
    .toLowerCase()
    .replace(/\.tar$/, "")
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "");
  return `localhost/${repository || "image"}:${name}`;
}

async function loadDockerArchive(
  archivePath: string,
  manifestPath: string,
  files: ArchiveFiles,
  blobs: BlobStore,
  { signal, limits }: Abortable & { readonly limits: ImageLimits },
): Promise<readonly LoadedImage[]> {
  const images = DockerArchiveManifest.safeParse(jsonOf(await readBounded(archivePath, manifestPath, limits)));
  if (!images.success) throw archiveInvalid(archivePath, "has a malformed manifest.json", images.error);
  const store = async (name: string): Promise<Descriptor> => {
    const path = await files(normalized(name));
    if (path === undefined) throw archiveInvalid(archivePath, `has no file ${JSON.stringify(name.slice(0, 200))}`);
    return {
      mediaType: "",
      ...(await importFile(archivePath, path, blobs, { signal, maxBytes: limits.unpackedBytes })),
    };
  };
  const loaded: LoadedImage[] = [];
  for (const image of images.data) {
    const layers: Descriptor[] = [];
    for (const layer of image.Layers) layers.push(await store(layer));
    const manifest = ImageManifest.parse({ config: await store(image.Config), layers });
    checkManifest({ canonical: archivePath }, manifest, limits);
    const config: ImageConfig = parseConfig(archivePath, await blobs.read(manifest.config.digest), manifest);
    loaded.push({ manifest, config, isPrivate: false, digest: null, names: image.RepoTags ?? [] });
  }
  return loaded;
}

async function importFile(
  archivePath: string,
  path: string,
  blobs: BlobStore,
  options: Abortable & { readonly digest?: string; readonly maxBytes: number },
): Promise<{ readonly digest: string; readonly size: number }> {
  if (options.digest !== undefined && digestPattern.test(options.digest) && (await blobs.has(options.digest))) {
    return { digest: options.digest, size: await blobs.size(options.digest) };
  }
  try {
    return await blobs.write(createReadStream(path), options);
  } catch (error) {
    options.signal.throwIfAborted();
    if (errorCode(error) !== undefined) throw error;
    throw archiveInvalid(archivePath, "is damaged", error);
  }
}

async function readBounded(archivePath: string, path: string, limits: ImageLimits): Promise<Buffer> {
  if ((await stat(path)).size > limits.documentBytes)
    throw archiveInvalid(archivePath, "has a document that is too large");
  return readFile(path);
}

function jsonOf(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch {
    return undefined;
  }
}

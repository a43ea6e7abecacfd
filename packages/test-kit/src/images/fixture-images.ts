import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import { finished, pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { type Header, type Pack, pack } from "tar-stream";
import { findExecutable } from "../host/find-executable.ts";
import { digestOf, type ImageDocument, imageDocuments, indexType } from "./image-documents.ts";

/** The `config` object of an OCI image configuration, reduced to the fields that fixtures use. */
export interface ImageConfig {
  readonly User?: string;
  readonly Env?: readonly string[];
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly WorkingDir?: string;
  readonly Volumes?: Readonly<Record<string, object>>;
  readonly Healthcheck?: { readonly Test: readonly string[]; readonly Interval?: number };
  readonly StopSignal?: string;
  readonly Labels?: Readonly<Record<string, string>>;
}

/** A complete image for linux on this machine's architecture, in memory. */
export interface FixtureImage {
  readonly config: ImageDocument;
  /** Compressed, bottom first. */
  readonly layers: readonly ImageDocument[];
  /** The same layers uncompressed, as in `docker save` archives. */
  readonly plainLayers: readonly Buffer[];
  readonly manifest: ImageDocument;
}

/** An entry of a layer: its tar header and, for a file, its content. */
export interface LayerEntry extends Partial<Header> {
  readonly name: string;
  readonly content?: Buffer | string;
}

const layerType = "application/vnd.oci.image.layer.v1.tar+gzip";

/** Builds an image from these layers. Entries are written as given, including hostile ones. */
export async function buildImage(
  layers: readonly (readonly LayerEntry[])[],
  config: ImageConfig = {},
): Promise<FixtureImage> {
  const plainLayers = await Promise.all(layers.map(tarOf));
  const compressed = plainLayers.map((plain) => blob(layerType, gzipSync(plain, { level: 1 })));
  const { config: configBlob, manifest } = imageDocuments(
    compressed.map(({ mediaType, digest, bytes }, index) => ({
      mediaType,
      digest,
      size: bytes.length,
      diffId: digestOf(plainLayers[index] ?? bytes),
    })),
    config,
  );
  return { config: configBlob, layers: compressed, plainLayers, manifest };
}

let busybox: Promise<readonly LayerEntry[]> | undefined;

/**
 * A layer with `/bin/busybox`, a link for each of its applets, `/tmp` and `/etc/passwd`. Needs the package
 * busybox-static.
 */
export function busyboxLayer(): Promise<readonly LayerEntry[]> {
  busybox ??= readBusybox();
  return busybox;
}

async function readBusybox(): Promise<readonly LayerEntry[]> {
  const path = findExecutable("busybox");
  if (!path) throw new Error("busybox is not installed: apt-get install -y busybox-static");
  const { stdout } = await promisify(execFile)(path, ["--list"]);
  const applets = stdout.split("\n").filter((name) => name !== "" && name !== "busybox");
  return [
    { name: "bin/", type: "directory", mode: 0o755 },
    { name: "bin/busybox", mode: 0o755, content: await readFile(path) },
    ...applets.map((name) => ({ name: `bin/${name}`, type: "symlink" as const, linkname: "busybox" })),
    { name: "etc/", type: "directory", mode: 0o755 },
    { name: "etc/passwd", mode: 0o644, content: "root:x:0:0:root:/root:/bin/sh\napp:x:1234:1234::/:/bin/sh\n" },
    { name: "etc/group", mode: 0o644, content: "root:x:0:\napp:x:1234:\n" },
    { name: "root/", type: "directory", mode: 0o700 },
    { name: "tmp/", type: "directory", mode: 0o1777 },
  ];
}

export async function busyboxImage(config: ImageConfig = {}): Promise<FixtureImage> {
  return buildImage([await busyboxLayer()], { Env: ["PATH=/bin", "FROM_IMAGE=yes"], ...config });
}

/** An image with one static program and no `/bin/sh`. */
export async function shellLessImage(): Promise<FixtureImage> {
  const program = (await busyboxLayer()).find(({ name }) => name === "bin/busybox");
  return buildImage([[{ name: "busybox", mode: 0o755, content: program?.content ?? "" }]], {
    Entrypoint: ["/busybox"],
  });
}

/** An archive as written by `docker save` and read by `docker load`. */
export async function dockerArchive(image: FixtureImage, reference: string): Promise<Buffer> {
  const layerNames = image.plainLayers.map((plain) => `${digestOf(plain).slice("sha256:".length)}/layer.tar`);
  const configName = `${image.config.digest.slice("sha256:".length)}.json`;
  return tarOf([
    { name: configName, content: image.config.bytes },
    ...image.plainLayers.map((plain, index) => ({ name: layerNames[index] ?? "", content: plain })),
    {
      name: "manifest.json",
      content: JSON.stringify([{ Config: configName, RepoTags: [reference], Layers: layerNames }]),
    },
  ]);
}

/** Writes an OCI image layout of one image, named `tag` in its index. */
export async function writeOciLayout(image: FixtureImage, directory: string, tag = "latest"): Promise<void> {
  const blobs = join(directory, "blobs", "sha256");
  await mkdir(blobs, { recursive: true });
  await writeFile(join(directory, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  for (const each of [image.config, ...image.layers, image.manifest]) {
    await writeFile(join(blobs, each.digest.slice("sha256:".length)), each.bytes);
  }
  const named = { ...descriptor(image.manifest), annotations: { "org.opencontainers.image.ref.name": tag } };
  await writeFile(
    join(directory, "index.json"),
    JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests: [named] }),
  );
}

/** Uploads the image to a registry; resolves to its reference, `HOST:PORT/repository:tag`. */
export async function pushImage(
  image: FixtureImage,
  {
    registry,
    repository,
    tag = "latest",
    authorization,
  }: { registry: string; repository: string; tag?: string; authorization?: string },
): Promise<string> {
  const base = `http://${registry}/v2/${repository}`;
  const headers = { ...(authorization ? { authorization } : {}) };
  for (const each of [image.config, ...image.layers]) {
    const started = await expectStatus(await fetch(`${base}/blobs/uploads/`, { method: "POST", headers }), 202);
    const location = new URL(started.headers.get("location") ?? "", base);
    location.searchParams.set("digest", each.digest);
    await expectStatus(await fetch(location, { method: "PUT", headers, body: new Uint8Array(each.bytes) }), 201);
  }
  await expectStatus(
    await fetch(`${base}/manifests/${tag}`, {
      method: "PUT",
      headers: { ...headers, "content-type": image.manifest.mediaType },
      body: new Uint8Array(image.manifest.bytes),
    }),
    201,
  );
  return `${registry}/${repository}:${tag}`;
}

/** Loads the image into a Docker engine under this reference (with a tag). */
export async function loadImage(image: FixtureImage, socketPath: string, reference: string): Promise<void> {
  await loadArchive(Readable.from([await dockerArchive(image, reference)]), socketPath);
}

/** Loads a directory with the layout of a `docker save` archive into a Docker engine. */
export async function loadImageDirectory(directory: string, socketPath: string): Promise<void> {
  const tar = spawn("tar", ["-C", directory, "-cf", "-", "."], { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(tar, "exit");
  try {
    await loadArchive(tar.stdout, socketPath);
  } finally {
    tar.kill();
    await exited;
  }
}

/** Loads an archive with images into a Docker engine. */
export async function loadArchive(archive: Readable, socketPath: string): Promise<void> {
  const [status, body] = await new Promise<[number, string]>((resolve, reject) => {
    const upload = request({ socketPath, method: "POST", path: "/images/load?quiet=1" }, (response) => {
      text(response).then((answer) => resolve([response.statusCode ?? 0, answer]), reject);
    });
    upload.setHeader("content-type", "application/x-tar");
    pipeline(archive, upload).catch(reject);
  });
  if (status !== 200 || body.includes('"error"')) throw new Error(`cannot load an image: ${status} ${body}`);
}

async function expectStatus(response: Response, status: number): Promise<Response> {
  if (response.status !== status) {
    throw new Error(`${response.url} answered ${response.status} rather than ${status}: ${await response.text()}`);
  }
  return response;
}

async function tarOf(entries: readonly LayerEntry[]): Promise<Buffer> {
  const archive: Pack = pack();
  const bytes = buffer(archive);
  for (const { content, ...header } of entries) {
    const data = content === undefined ? undefined : Buffer.from(content);
    const entry = archive.entry({ mtime: new Date(0), ...header, ...(data ? { size: data.length } : {}) });
    entry.end(data);
    await finished(entry, { readable: false });
  }
  archive.finalize();
  return bytes;
}

function blob(mediaType: string, bytes: Buffer): ImageDocument {
  return { mediaType, bytes, digest: digestOf(bytes) };
}

function descriptor({ mediaType, digest, bytes }: ImageDocument) {
  return { mediaType, digest, size: bytes.length };
}

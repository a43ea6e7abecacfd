import { createHash } from "node:crypto";
import { createWriteStream, existsSync } from "node:fs";
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { finished, pipeline } from "node:stream/promises";
import { gzipSync } from "node:zlib";
import { pack } from "tar-stream";
import type { FileTree } from "./file-tree.ts";

const types = {
  index: "application/vnd.oci.image.index.v1+json",
  manifest: "application/vnd.oci.image.manifest.v1+json",
  config: "application/vnd.oci.image.config.v1+json",
  layer: "application/vnd.oci.image.layer.v1.tar+gzip",
};

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly platform?: { readonly os: string; readonly architecture: string };
}

export interface Layer {
  readonly bytes: Buffer;
  /** Of the bytes before compression. */
  readonly diffId: string;
}

/** The part of an image's configuration that says how to run it. */
interface RunConfig {
  readonly User: string;
  readonly Entrypoint: readonly string[];
  readonly Cmd?: readonly string[];
  readonly Env?: readonly string[];
  readonly WorkingDir?: string;
  readonly ExposedPorts?: Readonly<Record<string, object>>;
  readonly Labels?: Readonly<Record<string, string>>;
}

export interface Image {
  readonly config: RunConfig;
  /** Bottom first. */
  readonly layers: readonly Layer[];
}

export async function layerOf(tree: FileTree): Promise<Layer> {
  const archive = await tree.archive();
  return { bytes: gzipSync(archive, { level: 6 }), diffId: digestOf(archive) };
}

/** Docker's name of this machine's architecture. */
export const architecture = process.arch === "x64" ? "amd64" : process.arch;

/**
 * Writes an image as OCI layout into `directory`, and as an archive next to it that `docker load`, `ctr images import`
 * and `skopeo copy oci-archive:` read.
 * @param reference the image's name and tag.
 * @param others layouts of the same image that other machines made, for other architectures.
 * @returns the digest of the index of all architectures.
 */
export async function writeLayout(
  { config, layers }: Image,
  { directory, reference, others }: { directory: string; reference: string; others: readonly string[] },
): Promise<string> {
  const blobs = path.join(directory, "blobs/sha256");
  await rm(directory, { recursive: true, force: true });
  await mkdir(blobs, { recursive: true });
  const add = async (mediaType: string, content: Buffer | object): Promise<Descriptor> => {
    const bytes = Buffer.isBuffer(content) ? content : Buffer.from(JSON.stringify(content));
    const digest = digestOf(bytes);
    await writeFile(path.join(blobs, hexOf(digest)), bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const layerDescriptors: Descriptor[] = [];
  for (const { bytes } of layers) layerDescriptors.push(await add(types.layer, bytes));
  const configDescriptor = await add(types.config, {
    created: "1970-01-01T00:00:00Z",
    architecture,
    os: "linux",
    config,
    rootfs: { type: "layers", diff_ids: layers.map(({ diffId }) => diffId) },
  });
  const manifest = await add(types.manifest, {
    schemaVersion: 2,
    mediaType: types.manifest,
    config: configDescriptor,
    layers: layerDescriptors,
  });
  const manifests: Descriptor[] = [{ ...manifest, platform: { os: "linux", architecture } }];
  for (const other of others) manifests.push(...(await takeOthers(other, blobs)));
  manifests.sort((a, b) => ((a.platform?.architecture ?? "") < (b.platform?.architecture ?? "") ? -1 : 1));
  const index = await add(types.index, { schemaVersion: 2, mediaType: types.index, manifests });

  const annotations = {
    "io.containerd.image.name": reference,
    "org.opencontainers.image.ref.name": reference.slice(reference.lastIndexOf(":") + 1),
  };
  const entry = { schemaVersion: 2, mediaType: types.index, manifests: [{ ...index, annotations }] };
  const inDocker = {
    Config: `blobs/sha256/${hexOf(configDescriptor.digest)}`,
    RepoTags: [reference],
    Layers: layerDescriptors.map(({ digest }) => `blobs/sha256/${hexOf(digest)}`),
  };
  await writeFile(path.join(directory, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  await writeFile(path.join(directory, "index.json"), JSON.stringify(entry));
  await writeFile(path.join(directory, "manifest.json"), JSON.stringify([inDocker]));
  await writeArchive(directory);
  return index.digest;
}

/** Copies the manifests of other architectures, and what they refer to. */
async function takeOthers(layout: string, blobs: string): Promise<readonly Descriptor[]> {
  const from = path.join(layout, "blobs/sha256");
  const read = async (digest: string) => JSON.parse(await readFile(path.join(from, hexOf(digest)), "utf8"));
  const { manifests } = JSON.parse(await readFile(path.join(layout, "index.json"), "utf8")) as {
    manifests: Descriptor[];
  };
  const nested = await Promise.all(
    manifests.map(async ({ digest }) => ((await read(digest)) as { manifests: Descriptor[] }).manifests),
  );
  const wanted = nested.flat().filter(({ platform }) => platform?.architecture !== architecture);
  for (const { digest } of wanted) {
    const { config, layers } = (await read(digest)) as { config: Descriptor; layers: Descriptor[] };
    for (const each of [digest, config.digest, ...layers.map((layer) => layer.digest)]) {
      const bytes = await readFile(path.join(from, hexOf(each)));
      if (digestOf(bytes) !== each) throw new Error(`${layout}: the content of ${each} is not what its digest says`);
      if (!existsSync(path.join(blobs, hexOf(each))))
        await copyFile(path.join(from, hexOf(each)), path.join(blobs, hexOf(each)));
    }
  }
  return wanted;
}

async function writeArchive(directory: string): Promise<void> {
  const archive = pack();
  const written = pipeline(archive, createWriteStream(`${directory}.tar`));
  const names = (await readdir(path.join(directory, "blobs/sha256"))).sort().map((name) => `blobs/sha256/${name}`);
  for (const name of ["oci-layout", "index.json", "manifest.json", ...names]) {
    const content = await readFile(path.join(directory, name));
    const entry = archive.entry({ name, size: content.length, mode: 0o644, mtime: new Date(0) });
    entry.end(content);
    await finished(entry, { readable: false });
  }
  archive.finalize();
  await written;
}

function digestOf(bytes: Buffer): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

function hexOf(digest: string): string {
  const hex = /^sha256:([0-9a-f]{64})$/.exec(digest)?.[1];
  if (hex === undefined) throw new Error(`not a digest: ${digest}`);
  return hex;
}

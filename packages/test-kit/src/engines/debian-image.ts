import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import type { ImageConfig } from "../images/fixture-images.ts";
import { imageDocuments, indexType, type LayerDescriptor } from "../images/image-documents.ts";

const run = promisify(execFile);

/** The images of the engine `debian`, by purpose. All have the same layers. */
export const debianImages = {
  /** Like the distribution's own image: root, no entrypoint. */
  plain: "workloads/debian:1",
  /** Runs as an ordinary user with a home. */
  builder: "workloads/debian-builder:1",
  /**
   * Like a database or server image: an entrypoint that expects its command, a user by name, a directory, a volume, a
   * port.
   */
  service: "workloads/debian-service:1",
} as const;

const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const configs: Readonly<Record<keyof typeof debianImages, ImageConfig>> = {
  plain: { Env: [path], Cmd: ["bash"] },
  builder: { Env: [path, "LANG=C.UTF-8"], User: "1000:1000", WorkingDir: "/home/builder", Cmd: ["bash"] },
  service: {
    Env: [path, "SERVICE_HOME=/srv/service"],
    User: "builder",
    WorkingDir: "/srv/service",
    Entrypoint: ["/bin/sh", "-c", "echo the entrypoint ran; exit 9"],
    Cmd: ["serve"],
    Volumes: { "/srv/volume": {} },
    StopSignal: "SIGINT",
  },
};

/** Node and npm as in official images, below `/usr/local`. */
export interface NodeFiles {
  readonly program: string;
  /** The folder of the package `npm`. */
  readonly npm: string;
}

/**
 * Writes the images of a root file system into `directory`, as an OCI layout that is also a valid `docker save` layout.
 * Consumes the root file system.
 */
export async function writeDebianImages(
  directory: string,
  { root, node, signal }: { readonly root: string; readonly node: NodeFiles; readonly signal: AbortSignal },
): Promise<void> {
  const blobs = join(directory, "blobs", "sha256");
  await mkdir(blobs, { recursive: true });
  await placeNode(join(root, "usr/local"), node);
  for (const place of ["srv/service", "srv/volume"]) {
    await mkdir(join(root, place), { recursive: true });
    await run("chown", ["1000:1000", join(root, place)]);
  }
  const unnamed = join(directory, "layer.tar");
  await run("tar", ["--numeric-owner", "--xattrs", "-C", root, "-cf", unnamed, "."], { signal });
  const layer = await describeLayer(unnamed);
  await rename(unnamed, join(blobs, layer.digest.slice("sha256:".length)));
  await rm(root, { recursive: true, force: true });

  const index: object[] = [];
  const saved: object[] = [];
  for (const [name, config] of Object.entries(configs)) {
    const reference = debianImages[name as keyof typeof debianImages];
    const documents = imageDocuments([layer], config);
    for (const { digest, bytes } of [documents.config, documents.manifest]) {
      await writeFile(join(blobs, digest.slice("sha256:".length)), bytes);
    }
    index.push({
      mediaType: documents.manifest.mediaType,
      digest: documents.manifest.digest,
      size: documents.manifest.bytes.length,
      annotations: { "org.opencontainers.image.ref.name": reference },
    });
    const blobPath = (digest: string) => `blobs/${digest.replace(":", "/")}`;
    saved.push({ Config: blobPath(documents.config.digest), RepoTags: [reference], Layers: [blobPath(layer.digest)] });
  }
  await writeFile(join(directory, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  await writeFile(
    join(directory, "index.json"),
    JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests: index }),
  );
  await writeFile(join(directory, "manifest.json"), JSON.stringify(saved));
}

async function placeNode(prefix: string, { program, npm }: NodeFiles): Promise<void> {
  const [bin, modules] = [join(prefix, "bin"), join(prefix, "lib", "node_modules")];
  for (const place of [bin, modules]) await mkdir(place, { recursive: true });
  await run("cp", ["--dereference", "--reflink=auto", "--", program, join(bin, "node")]);
  await run("cp", ["-R", "--dereference", "--no-preserve=ownership", "--", npm, join(modules, "npm")]);
  for (const name of ["npm", "npx"]) await symlink(`../lib/node_modules/npm/bin/${name}-cli.js`, join(bin, name));
}

async function describeLayer(file: string): Promise<LayerDescriptor> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(file, { highWaterMark: 1 << 20 }), hash);
  const digest = `sha256:${hash.digest("hex")}`;
  return { mediaType: "application/vnd.oci.image.layer.v1.tar", digest, size: (await stat(file)).size, diffId: digest };
}

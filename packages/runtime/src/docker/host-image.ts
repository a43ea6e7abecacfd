import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readlink, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { outputOf } from "@airlock/process";
import type { Abortable } from "../contract/index.ts";
import { refusedByPolicy, runtimeFailed } from "../contract/index.ts";
import { assembleHostRoot } from "../host/host-root.ts";
import type { EngineClient } from "./engine-client.ts";
import type { ImageReply } from "./engine-replies.ts";
import { inspectImage, progressMessages } from "./pull-image.ts";

export interface HostImage {
  readonly image: ImageReply;
  /** Host paths to mount read-only at the same path. */
  readonly readOnlyPaths: readonly string[];
}

const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/**
 * Imports the host's tool chain as an image and lists the mounts that fill it. The image is a few kilobytes of links
 * and empty directories and is imported once. Works only if the engine shares this host's file system.
 */
export async function ensureHostImage(engine: EngineClient, { signal }: Abortable): Promise<HostImage> {
  const { archive, readOnlyPaths } = await packHostRoot();
  const tag = createHash("sha256").update(archive).digest("hex").slice(0, 16);
  const reference = `airlock-host:${tag}`;
  const present = await inspectImage(engine, reference);
  if (present) return { image: present, readOnlyPaths };
  const changes = [`ENV PATH=${path}`, "ENV HOME=/root", "LABEL airlock.image=host"];
  const query = { fromSrc: "-", repo: "airlock-host", tag, changes };
  const request = { method: "POST", path: "/images/create", query, body: archive, signal } as const;
  for await (const _ of progressMessages(engine, request));
  const image = await inspectImage(engine, reference);
  if (!image) throw runtimeFailed("the Docker engine did not import the image of the host");
  return { image, readOnlyPaths };
}

async function packHostRoot(): Promise<{ archive: Buffer; readOnlyPaths: readonly string[] }> {
  const directory = await mkdtemp(join(tmpdir(), "airlock-host-"));
  try {
    const readOnlyPaths = await assembleHostRoot(directory);
    await unfoldSbin(directory);
    // Reproducible archives give the same tag, so that an existing image is found again.
    const reproducible = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"];
    const parts: Buffer[] = [];
    const options = { onStdout: (bytes: Buffer) => void parts.push(bytes) };
    await outputOf(["tar", "-C", directory, ...reproducible, "-c", "."], options);
    return { archive: Buffer.concat(parts), readOnlyPaths };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/**
 * Replaces the link `/sbin` by a directory of links. The engine mounts its init at `/sbin/docker-init` and can't create
 * that file below the read-only `/usr`.
 */
async function unfoldSbin(directory: string): Promise<void> {
  const sbin = join(directory, "sbin");
  const target = await readlink(sbin).catch(() => undefined);
  if (target === undefined) {
    throw refusedByPolicy(
      'the image "host" needs a host whose /sbin is a link into /usr',
      "Use a container image, or the oci runtime.",
    );
  }
  await rm(sbin);
  await mkdir(sbin);
  for (const name of await readdir(resolve("/", target))) await symlink(join("/", target, name), join(sbin, name));
}

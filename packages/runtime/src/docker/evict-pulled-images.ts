import { formatBytes } from "@airlock/job";
import type { Abortable } from "../contract/index.ts";
import { type EngineClient, EngineError } from "./engine-client.ts";
import { ContainerListReply, type ImageReply } from "./engine-replies.ts";
import { inspectImage, privateMark } from "./pull-image.ts";
import type { PulledImage, PulledImages } from "./pulled-images.ts";

/** Images that were used this recently stay: a job's image is ready before its container exists. */
const freshMs = 2 * 60_000;

/**
 * Removes the names that our pulls gave to images from the engine, least recently used first. The engine deletes an
 * image with its last name. Images that have other names or that a container uses stay.
 */
export async function evictPulledImages(
  engine: EngineClient,
  pulled: PulledImages,
  { maximumBytes, signal }: { readonly maximumBytes: number } & Abortable,
): Promise<readonly string[]> {
  const images: { readonly entry: PulledImage; readonly present: ImageReply }[] = [];
  for (const entry of await pulled.list()) {
    signal.throwIfAborted();
    const present = await inspectImage(engine, entry.id);
    if (present) images.push({ entry, present });
    else await pulled.remove(entry.canonical);
  }
  // Shared layers count for each image, so eviction starts a little early but the limit holds.
  const sizes = new Map(images.map(({ present }) => [present.Id, present.Size ?? 0]));
  let total = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  const removed: string[] = [];
  for (const { entry, present } of images) {
    if (total <= maximumBytes) break;
    signal.throwIfAborted();
    if (Date.now() - entry.usedAt < freshMs || (await isUsed(engine, present.Id, signal))) continue;
    if (!(await removeNames(engine, entry, present))) continue;
    await pulled.remove(entry.canonical);
    if ((await inspectImage(engine, present.Id)) !== undefined) continue;
    total -= present.Size ?? 0;
    removed.push(`removed the image ${entry.canonical}, ${formatBytes(present.Size ?? 0)}`);
  }
  return removed;
}

async function isUsed(engine: EngineClient, id: string, signal: AbortSignal): Promise<boolean> {
  const query = { all: true, filters: JSON.stringify({ ancestor: [id] }) };
  return (await engine.json(ContainerListReply, { path: "/containers/json", query, signal })).length > 0;
}

async function removeNames(engine: EngineClient, entry: PulledImage, present: ImageReply): Promise<boolean> {
  const names = [...new Set(entry.references)];
  // Another user of the engine may have moved our name to another image since.
  const own: string[] = [];
  for (const name of names) if ((await inspectImage(engine, name))?.Id === present.Id) own.push(name);
  const others = (present.RepoTags ?? []).filter((tag) => !own.some((name) => sameName(name, tag)));
  const mark = privateMark(present.Id);
  if (others.every((tag) => tag === mark)) own.push(mark, present.Id);
  for (const name of own) {
    try {
      await engine.send({ method: "DELETE", path: `/images/${encodeURIComponent(name)}` });
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      if (error.status === 409) return false;
      if (error.status !== 404) throw error;
    }
  }
  return true;
}

/** Compares two references. The engine omits `docker.io/library/`. */
function sameName(canonical: string, tag: string): boolean {
  return canonical.replace(/^docker\.io\/(?:library\/)?/, "") === tag || canonical === tag;
}

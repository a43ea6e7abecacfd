import { randomUUID } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { formatBytes } from "@airlock/job";
import { outputOf } from "@airlock/process";
import type { Abortable } from "../../contract/index.ts";
import { errorCode } from "../../host/error-code.ts";
import type { ImageParts } from "../manifest/image-parts.ts";
import { boundOnDisk, type CachedImage, planEviction } from "./plan-eviction.ts";
import type { StoreLeases } from "./store-leases.ts";

export interface EvictOptions extends Abortable {
  readonly maximumBytes: number;
  readonly partsOf: (recordText: string) => Promise<ImageParts>;
  /** Age in milliseconds from which a part that belongs to no image counts as left over. Default: an hour. */
  readonly leftOverMs?: number;
}

/** The directories of a store. */
export interface StorePlaces {
  readonly directory: string;
  readonly records: string;
  readonly temporary: string;
}

/**
 * Removes the least recently used images until the store is within its limit. Returns lines of text that tell what was
 * removed. Everything is renamed away first, so that no process finds half of it. A crash leaves it among the temporary
 * files.
 */
export async function evictImages(
  places: StorePlaces,
  leases: StoreLeases,
  options: EvictOptions,
): Promise<readonly string[]> {
  const sizes = await measure(places, options);
  const removed: string[] = [];
  let bytes = 0;
  let count = 0;
  const temporary = join(places.temporary, `${process.pid}-${randomUUID()}`);
  try {
    const collected = await leases.collect(async (inUse) => {
      const images = await readImages(places, [...sizes.keys()], options);
      const used = [...sizes.values()].reduce((sum, { bytes: size }) => sum + size, 0);
      const disk = await statfs(places.directory);
      const space = { totalBytes: disk.blocks * disk.bsize, availableBytes: disk.bavail * disk.bsize };
      const oldest = Date.now() - (options.leftOverMs ?? 60 * 60_000);
      const plan = planEviction({
        images,
        sizes: new Map([...sizes].map(([name, { bytes: size }]) => [name, size])),
        inUse,
        leftOver: new Set([...sizes].filter(([, { changedAt }]) => changedAt < oldest).map(([name]) => name)),
        maximumBytes: boundOnDisk(options.maximumBytes, used, space),
      });
      if (plan.names.length + plan.references.length === 0) return;
      await mkdir(temporary, { mode: 0o700 });
      // References first, so that an image whose parts are being removed is no longer found.
      for (const reference of plan.references) await moveTo(temporary, join(places.records, reference));
      for (const name of plan.names) await moveTo(temporary, join(places.directory, name));
      ({ bytes } = plan);
      count = plan.references.length;
    });
    if (collected && bytes > 0) removed.push(`removed ${count} images, ${formatBytes(bytes)}, from the cache`);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
  return removed;
}

interface Part {
  readonly bytes: number;
  /** Time in milliseconds when it was renamed into place. */
  readonly changedAt: number;
}

/** Sizes of blobs and of all kinds of layers, by path below the store's directory. */
async function measure(places: StorePlaces, { signal }: Abortable): Promise<ReadonlyMap<string, Part>> {
  const parts = new Map<string, Part>();
  for (const place of await readdir(places.directory)) {
    if (place !== "blobs" && !/^layers(?:-\d+-\d+)?$/.test(place)) continue;
    for (const name of await readdir(join(places.directory, place))) {
      signal.throwIfAborted();
      const path = join(places.directory, place, name);
      const stats = await stat(path).catch(ifMissing);
      if (!stats) continue;
      const bytes = stats.isDirectory() ? await sizeOfLayer(places, `${place}-${name}`, path) : stats.blocks * 512;
      parts.set(join(place, name), { bytes, changedAt: stats.ctimeMs });
    }
  }
  return parts;
}

/** Measures a layer once and records its size: a layer never changes. */
async function sizeOfLayer(places: StorePlaces, key: string, path: string): Promise<number> {
  const directory = join(places.directory, "sizes");
  const note = join(directory, key);
  const known = Number(await readFile(note, "utf8").catch(ifMissing));
  if (Number.isSafeInteger(known) && known > 0) return known;
  const bytes = await diskUse(path);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const temporary = join(places.temporary, `${process.pid}-${randomUUID()}`);
  await writeFile(temporary, String(bytes), { mode: 0o600 });
  await rename(temporary, note);
  return bytes;
}

async function diskUse(path: string): Promise<number> {
  try {
    const stdout = await outputOf(["du", "--summarize", "--block-size=1", "--one-file-system", "--", path]);
    return Number.parseInt(stdout, 10);
  } catch (error) {
    // Another process may have removed it meanwhile.
    if ((await stat(path).catch(ifMissing)) === undefined) return 0;
    throw error;
  }
}

async function readImages(
  { directory, records }: StorePlaces,
  present: readonly string[],
  { partsOf }: EvictOptions,
): Promise<CachedImage[]> {
  const layerPlaces = (await readdir(directory)).filter((name) => name.startsWith("layers"));
  const known = new Set(present);
  const images: CachedImage[] = [];
  for (const reference of await readdir(records)) {
    const path = join(records, reference);
    const text = await readFile(path, "utf8").catch(ifMissing);
    const stats = await stat(path).catch(ifMissing);
    if (text === undefined || stats === undefined) continue;
    const { blobs, layers } = await partsOf(text);
    const names = [...blobs, ...layerPlaces.flatMap((place) => layers.map((layer) => join(place, layer)))].filter(
      (name) => known.has(name),
    );
    images.push({ reference, usedAt: stats.mtimeMs, names });
  }
  return images;
}

async function moveTo(directory: string, path: string): Promise<void> {
  await rename(path, join(directory, randomUUID())).catch(ifMissing);
}

function ifMissing(error: unknown): undefined {
  if (errorCode(error) !== "ENOENT") throw error;
}

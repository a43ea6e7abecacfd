import type { AirlockError } from "@airlock/job";
import { imageUnusable } from "../../contract/index.ts";
import { type LayerStack, latin1 } from "../unpack/layer-stack.ts";
import { absolute, isWorkspace } from "./declared-places.ts";
import { type Place, placeAndWords, places } from "./places.ts";

/** A directory that every step finds although no layer of its image has it: a declared volume or a parent of one. */
export interface VolumeDirectory {
  /** File names as latin1 strings of their bytes. No leading slash, no links. */
  readonly path: string;
  readonly mode: number;
  /** Host ids of the owner. `null`: the sandbox's root. */
  readonly owner: { readonly uid: number; readonly gid: number } | null;
}

/**
 * Rejects an image that has anything but a directory in a place that the executor fills. A link there would redirect
 * mounts to a path that the image chose, and a directory can't be mounted over a file.
 * @throws {AirlockError} reason `image-invalid`.
 */
export async function checkImagePlaces(image: string, root: LayerStack): Promise<void> {
  for (const place of places) {
    const entry = await root.lstat(place);
    if (!entry || entry.stats.isDirectory()) continue;
    throw placeTaken(image, place, entry.stats.isSymbolicLink() ? "a symbolic link" : "a file");
  }
}

export function placeTaken(image: string, place: Place, by: "a symbolic link" | "a file"): AirlockError {
  return imageUnusable(
    image,
    `has ${by} at ${placeAndWords(place)}`,
    `Build the image with a directory at /${place}, or without that path.`,
  );
}

/**
 * Lists the directories to create for declared volumes that are in no layer, parents first. Docker creates them, so
 * images rely on it.
 * @throws {AirlockError} reason `image-invalid` when a volume's path is not a directory.
 */
export async function volumeDirectories(
  image: string,
  volumes: readonly string[],
  root: LayerStack,
): Promise<readonly VolumeDirectory[]> {
  const made = new Map<string, VolumeDirectory>();
  for (const volume of volumes) {
    if (isWorkspace(volume)) continue;
    const followed = await root.follow(latin1(absolute(volume)));
    if (!followed) throw volumeOnFile(image, volume);
    if (followed.entry?.stats.isDirectory()) continue;
    if (followed.entry) throw volumeOnFile(image, volume);
    const names = followed.path.split("/");
    for (const index of names.keys()) {
      const path = names.slice(0, index + 1).join("/");
      const stats = (await root.lstat(path))?.stats;
      if (stats && !stats.isDirectory()) throw volumeOnFile(image, volume);
      const owner = stats ? { uid: stats.uid, gid: stats.gid } : null;
      made.set(path, { path, mode: stats ? stats.mode & 0o7777 : 0o755, owner });
    }
  }
  return [...made.values()];
}

export function volumeOnFile(image: string, volume: string): AirlockError {
  return imageUnusable(
    image,
    `declares the volume ${JSON.stringify(volume.slice(0, 200))}, where it has a file`,
    "Build the image without this VOLUME, or with a directory there.",
  );
}

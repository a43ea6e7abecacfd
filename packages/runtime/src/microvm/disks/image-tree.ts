import type { BigIntStats } from "node:fs";
import type { VolumeDirectory } from "../../images/places/image-places.ts";
import { attributesOf, type DirectoryAttributes, type DiskDirectory, type FillOptions } from "./fill-disk.ts";

const guestRoot = { uid: 0, gid: 0 };

interface AddedDirectory extends DiskDirectory {
  readonly added: Map<string, AddedDirectory>;
}

/**
 * The root of an image's disk: its layers, topmost first, and the directories of declared volumes that no layer has.
 * @param stats Attributes of the topmost layer's own directory, which are those of the image's root.
 */
export function imageTree(
  sources: readonly string[],
  stats: BigIntStats,
  volumes: readonly VolumeDirectory[],
  owner: FillOptions["owner"],
): DiskDirectory {
  const attributes = attributesOf(stats, owner);
  const root: AddedDirectory = { attributes, sources, added: new Map() };
  for (const { path, mode, owner: volumeOwner } of volumes) {
    const ids = owner ?? volumeOwner ?? guestRoot;
    add(root, path.split("/"), { mode, ...ids, modifiedNs: attributes.modifiedNs });
  }
  return root;
}

function add(root: AddedDirectory, names: readonly string[], attributes: DirectoryAttributes): void {
  let directory = root;
  for (const name of names) {
    const next = directory.added.get(name) ?? { attributes, sources: [], added: new Map() };
    directory.added.set(name, next);
    directory = next;
  }
}

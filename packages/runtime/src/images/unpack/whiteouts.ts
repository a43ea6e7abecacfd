import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { outputOf } from "@airlock/process";
import { errorCode } from "../../host/error-code.ts";
import type { LayerStack } from "./layer-stack.ts";
import type { LayerTree } from "./layer-tree.ts";

/** How deletions of files in lower layers are represented. */
export interface WhiteoutStyle {
  /** Lists the names that the layers below have in a directory. */
  namesBelow(path: string): Promise<Iterable<string>>;
  /** Hides a path of the layers below. */
  hide(path: string): Promise<void>;
}

/** For layers in separate directories that overlayfs stacks. */
export function overlayWhiteouts(tree: LayerTree, below: LayerStack, device: WhiteoutDevice): WhiteoutStyle {
  return {
    namesBelow: (path) => below.names(path),
    async hide(path) {
      if (await below.lstat(path)) await device.adoptInto(tree, path);
    },
  };
}

/** For layers that are unpacked on top of each other into one directory. */
export function flatWhiteouts(tree: LayerTree): WhiteoutStyle {
  return {
    namesBelow: async (path) => tree.names(path),
    hide: (path) => tree.remove(path),
  };
}

/**
 * Hides what a layer deletes. As the image specification demands, this concerns only layers below: what the same layer
 * adds stays, whichever comes first in the archive.
 */
export async function applyWhiteouts(
  tree: LayerTree,
  style: WhiteoutStyle,
  deletions: { readonly paths: ReadonlySet<string>; readonly opaque: ReadonlySet<string> },
): Promise<void> {
  const hidden = new Set<string>();
  async function hide(path: string): Promise<void> {
    if (tree.has(path)) {
      if (tree.isAddedDirectory(path)) await hideContent(path);
      return;
    }
    // Paths below a hidden one are hidden already, and a whiteout there would bring the parent back.
    if (ancestors(path).some((ancestor) => hidden.has(ancestor))) return;
    hidden.add(path);
    await style.hide(path);
  }
  // Node can't set extended attributes. So an opaque directory is written as one whiteout per name below.
  async function hideContent(path: string): Promise<void> {
    for (const name of await style.namesBelow(path)) await hide(path === "" ? name : `${path}/${name}`);
  }
  for (const path of [...deletions.paths].sort((a, b) => a.length - b.length)) await hide(path);
  for (const path of deletions.opaque) await hideContent(path);
}

function ancestors(path: string): readonly string[] {
  const parts = path.split("/").slice(0, -1);
  return parts.map((_, index) => parts.slice(0, index + 1).join("/"));
}

/** The character device 0/0. All whiteouts are hard links to it, so that mknod(1) runs only once. */
export class WhiteoutDevice {
  readonly #directory: string;
  #path: Promise<string> | undefined;

  constructor(directory: string) {
    this.#directory = directory;
  }

  async adoptInto(tree: LayerTree, path: string): Promise<void> {
    this.#path ??= this.#make();
    try {
      await tree.adopt(path, await this.#path);
    } catch (error) {
      if (errorCode(error) !== "EMLINK") throw error;
      this.#path = this.#make();
      await tree.adopt(path, await this.#path);
    }
  }

  async #make(): Promise<string> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const path = join(this.#directory, `whiteout-${process.pid}`);
    await rm(path, { force: true });
    await outputOf(["mknod", "-m", "000", path, "c", "0", "0"]);
    return path;
  }
}

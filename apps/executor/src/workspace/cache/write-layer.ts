import { rm } from "node:fs/promises";
import { join } from "node:path";
import { mountOverlay, unmountBelow } from "@airlock/runtime/host-disk";

export interface WriteLayerOptions {
  /** An existing directory for the layer alone. The layer becomes its subdirectory `upper`. */
  readonly dir: string;
  /** The directories to put the layer on, topmost first. */
  readonly below: readonly string[];
  /** Changes the files. Called with the directory that has them. */
  readonly write: (tree: string) => Promise<void>;
  readonly signal: AbortSignal;
}

/** Writes a layer with the changes that `write` makes. No mount of the layer is left then. */
export async function writeLayer({ dir, below, write, signal }: WriteLayerOptions): Promise<void> {
  const tree = join(dir, "mounted");
  await mountOverlay(below.join(":"), dir, tree, signal);
  await write(tree);
  await unmountBelow(tree, signal);
  for (const name of ["mounted", "work"]) await rm(join(dir, name), { recursive: true });
}

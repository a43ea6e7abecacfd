import { readdir, readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { removeHostileTree, unmountBelow } from "@airlock/runtime/host-disk";
import { z } from "zod";
import { recordUse, type StoredCheckout } from "./stored-checkout.ts";

/** Content of `checkout.json`. */
const Description = z.object({
  commit: z.string(),
  variant: z.string(),
  bytes: z.number(),
  /** Only of a layer. */
  layer: z
    .object({
      /** Name of the directory of the checkout below it. */
      below: z.string(),
      /** {@link bootId} when it was written. */
      boot: z.string(),
    })
    .optional(),
});

export type Description = z.output<typeof Description>;

export interface LoadOptions {
  /** Directory of one repository in the cache. */
  readonly dir: string;
  /** Layers of another boot of the machine are removed. `null`: all layers. */
  readonly boot: string | null;
  readonly signal: AbortSignal;
}

/** Finds the checkouts that an earlier run completed. Removes unfinished and unusable ones. */
export async function loadCheckouts({ dir, boot, signal }: LoadOptions): Promise<StoredCheckout[]> {
  const found: { readonly dir: string; readonly description: Description; readonly lastUsed: number }[] = [];
  for (const name of await readdir(dir)) {
    const path = join(dir, name);
    if (name.includes(".tmp-")) {
      await unmountBelow(path, signal);
      await removeHostileTree(path, signal);
      continue;
    }
    if (!/^(?:checkout|layer)-/.test(name)) continue;
    const description = await readDescription(path);
    if (description === null) await removeHostileTree(path, signal);
    else found.push({ dir: path, description, lastUsed: (await stat(join(path, descriptionFile))).mtimeMs });
  }
  const loaded = new Map<string, StoredCheckout>();
  let left = found;
  // Each round finds the layers on those of the round before.
  for (let count = -1; count < loaded.size; ) {
    count = loaded.size;
    left = left.filter(({ dir: path, description: { layer, ...description }, lastUsed }) => {
      const below = layer ? loaded.get(layer.below) : null;
      if (below === undefined || (layer && layer.boot !== boot)) return true;
      const checkout = { ...description, dir: path, below, lastUsed, users: 0 };
      loaded.set(basename(path), checkout);
      recordUse(checkout, lastUsed);
      return false;
    });
  }
  for (const unusable of left) await removeHostileTree(unusable.dir, signal);
  return [...loaded.values()];
}

export const descriptionFile = "checkout.json";

async function readDescription(dir: string): Promise<Description | null> {
  const text = await readFile(join(dir, descriptionFile), "utf8").catch(() => "null");
  try {
    return Description.safeParse(JSON.parse(text)).data ?? null;
  } catch {
    // A crash of the machine may have truncated it.
    return null;
  }
}

/**
 * Changes when the machine starts again. A layer is written without waiting for the disk, so after a crash its files
 * may be missing, although its description exists.
 */
export async function bootId(): Promise<string> {
  return (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
}

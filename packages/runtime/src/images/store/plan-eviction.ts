/** One reference of the store, and the names of all parts of its image. */
export interface CachedImage {
  readonly reference: string;
  readonly usedAt: number;
  readonly names: readonly string[];
}

export interface CacheContents {
  readonly images: readonly CachedImage[];
  /** Size in bytes of each part that exists, by name. */
  readonly sizes: ReadonlyMap<string, number>;
  readonly inUse: ReadonlySet<string>;
  /** Parts without an image that are old enough to remove. Younger ones may belong to an image that is being pulled. */
  readonly leftOver: ReadonlySet<string>;
  readonly maximumBytes: number;
}

export interface Eviction {
  readonly references: readonly string[];
  readonly names: readonly string[];
  readonly bytes: number;
}

/**
 * Plans what to remove so that the rest fits: left-over parts first, then the least recently used images. Never removes
 * what is in use.
 */
export function planEviction({ images, sizes, inUse, leftOver, maximumBytes }: CacheContents): Eviction {
  const uses = new Map<string, number>();
  for (const { names } of images) for (const name of new Set(names)) uses.set(name, (uses.get(name) ?? 0) + 1);
  let total = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  let bytes = 0;
  const names: string[] = [];
  const references: string[] = [];
  const remove = (name: string) => {
    const size = sizes.get(name);
    if (size === undefined || inUse.has(name)) return;
    names.push(name);
    total -= size;
    bytes += size;
  };
  for (const name of leftOver) if (!uses.has(name)) remove(name);
  for (const image of images.toSorted((a, b) => a.usedAt - b.usedAt)) {
    if (total <= maximumBytes) break;
    // An image may also share only some of its parts with one that is in use.
    if (image.names.length > 0 && image.names.every((name) => inUse.has(name))) continue;
    references.push(image.reference);
    for (const name of new Set(image.names)) {
      const others = (uses.get(name) ?? 1) - 1;
      uses.set(name, others);
      if (others === 0) remove(name);
    }
  }
  return { references, names, bytes };
}

/**
 * The limit of a cache if its file system is nearly full: `usedBytes` and the free space, minus a reserve. The reserve
 * is a twentieth of the file system, at most 10 GiB.
 */
export function boundOnDisk(
  maximumBytes: number,
  usedBytes: number,
  disk: { readonly totalBytes: number; readonly availableBytes: number },
): number {
  const reserve = Math.min(disk.totalBytes / 20, 10 * 2 ** 30);
  return Math.max(0, Math.min(maximumBytes, usedBytes + disk.availableBytes - reserve));
}

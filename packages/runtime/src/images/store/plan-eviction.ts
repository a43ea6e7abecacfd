/** One reference of the store, and by name everything that its image is made of. */
export interface CachedImage {
  readonly reference: string;
  readonly usedAt: number;
  readonly names: readonly string[];
}

export interface CacheContents {
  readonly images: readonly CachedImage[];
  /** Bytes of everything that is there. */
  readonly sizes: ReadonlyMap<string, number>;
  readonly inUse: ReadonlySet<string>;
  /** What no image is made of may be of one that is pulled right now: only these are old enough to be left over. */
  readonly leftOver: ReadonlySet<string>;
  readonly maximumBytes: number;
}

export interface Eviction {
  readonly references: readonly string[];
  readonly names: readonly string[];
  readonly bytes: number;
}

/** What goes so that the rest fits: what is left over, then images by when they were used last; nothing that is in use. */
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
    // Some of its parts may be those of another one that is in use.
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
 * The bound of a cache on a file system that has little left: what it may take besides its `usedBytes`, less a reserve
 * of a twentieth of the file system, 10 GiB at most.
 */
export function boundOnDisk(
  maximumBytes: number,
  usedBytes: number,
  disk: { readonly totalBytes: number; readonly availableBytes: number },
): number {
  const reserve = Math.min(disk.totalBytes / 20, 10 * 2 ** 30);
  return Math.max(0, Math.min(maximumBytes, usedBytes + disk.availableBytes - reserve));
}

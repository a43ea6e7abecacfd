import type { ArchiveEntry } from "@airlock/api";

export interface ListingLimits {
  readonly maxEntries: number;
  /** Total length of all names, in UTF-16 code units. */
  readonly maxNameLength: number;
  /** Bytes to unpack in search of entries. */
  readonly maxUnpackedBytes: number;
  readonly maxMs: number;
}

export const listingLimits: ListingLimits = {
  maxEntries: 10_000,
  maxNameLength: 2 ** 20,
  maxUnpackedBytes: 2 ** 30,
  maxMs: 10_000,
};

/** Longer names are cut. No file system has them. */
const longestName = 4096;

/** Collects the entries of an archive until a limit is reached. */
export class ArchiveEntries {
  readonly list: ArchiveEntry[] = [];
  /** Why later entries are missing, in words; `null`: none are. */
  problem: string | null = null;
  readonly #limits: ListingLimits;
  #nameLength = 0;

  constructor(limits: ListingLimits) {
    this.#limits = limits;
  }

  get isFull(): boolean {
    return this.problem !== null;
  }

  add({ path, linkTarget, ...entry }: ArchiveEntry): void {
    if (this.isFull) return;
    const [shownPath, shownTarget] = [cut(path), linkTarget === undefined ? undefined : cut(linkTarget)];
    this.#nameLength += shownPath.length + (shownTarget?.length ?? 0);
    const { maxEntries, maxNameLength } = this.#limits;
    if (this.list.length >= maxEntries) this.stop(`it has more than ${maxEntries.toLocaleString("en")} entries`);
    else if (this.#nameLength > maxNameLength) this.stop("the names of its entries are too long in total");
    else
      this.list.push({ path: shownPath, ...entry, ...(shownTarget === undefined ? {} : { linkTarget: shownTarget }) });
  }

  /** Ends the listing. The first reason counts. */
  stop(problem: string): void {
    this.problem ??= problem;
  }
}

function cut(name: string): string {
  return name.length > longestName ? `${name.slice(0, longestName)}…` : name;
}

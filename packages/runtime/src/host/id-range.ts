/** The range of host ids to which a container's ids 0, 1, 2, … are mapped. */
export interface IdRange {
  /** Host id of the container's root; above 0. */
  readonly base: number;
  /** Number of ids: a container's ids are below it. */
  readonly size: number;
}

/**
 * The default range. useradd(8) gives it to the first user on most distributions as subordinate ids, so it never
 * belongs to a person's account.
 */
export const defaultIdRange: IdRange = { base: 100_000, size: 65_536 };

/** Owner of files whose owner is outside the range: `nobody`, as the kernel shows unmapped ids. */
const overflowId = 65_534;

/** Maps an image's owner to a host id. Without a range it stays the same. */
export function hostId(range: IdRange | null, id: number): number {
  if (range === null) return id;
  return range.base + (id < range.size ? id : Math.min(overflowId, range.size - 1));
}

/**
 * Tells why a range can't be used. `undefined`: it can. The kernel's ids have 32 bits, and the last value means "no
 * id".
 */
export function problemOfIdRange({ base, size }: IdRange): string | undefined {
  if (!Number.isInteger(base) || !Number.isInteger(size)) return "is not of whole numbers";
  // Lower ids belong to accounts of the system and of people.
  if (base < 65_536) return "must begin at 65536 or above, past the accounts of the host";
  if (size < 65_536) return "must have at least 65536 ids, since images name ids up to 65535";
  if (base + size > 0xfffffffe) return "ends past the last id of the kernel";
  return undefined;
}

/** A range of host ids that a container's ids 0, 1, 2, … stand for. */
export interface IdRange {
  /** Of the container's root; above 0. */
  readonly base: number;
  /** How many: a container's ids are below it. */
  readonly size: number;
}

/**
 * Where nothing else is configured: the range that useradd(8) gives to the first user on most distributions, so that it
 * never belongs to a person's account.
 */
export const defaultIdRange: IdRange = { base: 100_000, size: 65_536 };

/** What files belong to whose owner has no place in a range: `nobody`, as the kernel shows unmapped ids. */
const overflowId = 65_534;

/** The host's id for an owner that an image names; without a range it is the same. */
export function hostId(range: IdRange | null, id: number): number {
  if (range === null) return id;
  return range.base + (id < range.size ? id : Math.min(overflowId, range.size - 1));
}

/** Why a range can't be used; `undefined`: it can. The kernel's ids have 32 bits, and the last one means none. */
export function problemOfIdRange({ base, size }: IdRange): string | undefined {
  if (!Number.isInteger(base) || !Number.isInteger(size)) return "is not of whole numbers";
  // Below are the accounts of the system and of people.
  if (base < 65_536) return "must begin at 65536 or above, past the accounts of the host";
  if (size < 65_536) return "must have at least 65536 ids, since images name ids up to 65535";
  if (base + size > 0xfffffffe) return "ends past the last id of the kernel";
  return undefined;
}

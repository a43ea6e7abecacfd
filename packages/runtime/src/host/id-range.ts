import { readFile } from "node:fs/promises";

/** The range of host ids to which a container's ids 0, 1, 2, … are mapped. */
export interface IdRange {
  /** Host id of the container's root. */
  readonly base: number;
  /** Number of ids: a container's ids are below it. */
  readonly size: number;
}

/** Number of ids that each sandbox has by default. Images name ids up to 65535. */
export const defaultIdsPerSandbox = 65_536;

/**
 * The ids that sandboxes have by default, enough for 1024 of them. They are above what directory services and
 * systemd-nspawn hand out and above the subordinate ids of useradd(8), and below systemd's foreign ids.
 */
export const defaultIds: IdRange = { base: 0x78000000, size: 1024 * defaultIdsPerSandbox };

/**
 * The ids that all sandboxes share where the default ones don't exist, as in some containers. useradd(8) gives them to
 * the first user on most distributions as subordinate ids, so they never belong to a person's account.
 */
export const sharedIds: IdRange = { base: 100_000, size: defaultIdsPerSandbox };

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
  if (!Number.isInteger(base) || !Number.isInteger(size)) return "is not a pair of whole numbers";
  // Lower ids belong to accounts of the system and of people.
  if (base < 65_536) return "must begin at 65536 or above, beyond the accounts of the host";
  if (size < 65_536) return "must have at least 65536 ids, since images name ids up to 65535";
  if (base + size > 0xfffffffe) return "ends beyond the kernel's last id";
  return undefined;
}

/**
 * Whether ids are missing. If the executor is itself in a user namespace, such as a container's, the range must be
 * mapped there.
 */
export async function isUnmapped({ base, size }: IdRange): Promise<boolean> {
  for (const file of ["/proc/self/uid_map", "/proc/self/gid_map"]) {
    const lines = (await readFile(file, "utf8")).trim().split("\n");
    const isCovered = lines.some((line) => {
      const [inside = 0, , length = 0] = line.trim().split(/\s+/).map(Number);
      return inside <= base && base + size <= inside + length;
    });
    if (!isCovered) return true;
  }
  return false;
}

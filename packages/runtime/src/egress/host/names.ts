import { createHash } from "node:crypto";

/**
 * Names of everything that one owner creates in the kernel. They stay the same after a restart, so that leftovers are
 * found.
 */
export interface OwnerNames {
  /** Name of the nftables table, family `inet`. */
  readonly table: string;
  /** Prefix of the names of the sandboxes' interfaces, which the rules match. At most 8 characters. */
  readonly interfacePrefix: string;
  /** Prefix of the names of the owner's network namespaces. */
  readonly namespacePrefix: string;
  /** 40 bits for the owner's unique local IPv6 prefix (RFC 4193 §3.2.2). */
  readonly globalId: bigint;
}

/** Directory where iproute2 keeps named network namespaces. */
export const namespacesDirectory = "/run/netns";

/** Prefix of the tables of all owners. */
export const tablePrefix = "airlock_";

export function ownerNames(owner: string): OwnerNames {
  const digest = createHash("sha256").update(owner).digest();
  const short = digest.toString("hex", 0, 3);
  return {
    table: `${tablePrefix}${short}`,
    interfacePrefix: `ak${short}`,
    namespacePrefix: `airlock-${short}-`,
    globalId: digest.readBigUInt64BE(8) >> 24n,
  };
}

/**
 * IFNAMSIZ allows 15 characters: 8 for the prefix, and 7 in base 36, enough for more sandboxes than any pool has room
 * for.
 */
export function interfaceName(names: OwnerNames, slot: number): string {
  return `${names.interfacePrefix}${slot.toString(36)}`;
}

import { createHash } from "node:crypto";

/** How everything that one owner makes in the kernel is called; the same after a restart, so that it is found again. */
export interface OwnerNames {
  /** Of the nftables table, family `inet`. */
  readonly table: string;
  /** Every interface of the owner's sandboxes starts with it: the rules match the prefix. At most 8 characters. */
  readonly interfacePrefix: string;
  /** Every named network namespace of the owner starts with it. */
  readonly namespacePrefix: string;
  /** 40 bits that make the owner's unique local IPv6 prefix (RFC 4193 §3.2.2). */
  readonly globalId: bigint;
}

/** Where iproute2 keeps named network namespaces. */
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

/** IFNAMSIZ leaves 15 characters: 8 of the prefix, and 7 in base 36 for more sandboxes than any pool has room for. */
export function interfaceName(names: OwnerNames, slot: number): string {
  return `${names.interfacePrefix}${slot.toString(36)}`;
}

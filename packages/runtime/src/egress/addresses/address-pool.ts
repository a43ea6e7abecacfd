import { formatAddress, type IpRange, overlaps, parseRange } from "./ip-range.ts";

/** The addresses of one sandbox. */
export interface AddressBlock {
  /** Position in the pool. The names of the sandbox's interface and rules contain it. */
  readonly slot: number;
  /** 8 addresses: enough for a bridge with a handful of containers. */
  readonly subnet: IpRange;
  /** The host's address on the link. The resolver listens on it. */
  readonly gateway: string;
  /** The sandbox's address. */
  readonly address: string;
  readonly ipv6: { readonly subnet: IpRange; readonly gateway: string; readonly address: string };
}

const blockBits = 29;

/**
 * RFC 2544's benchmark range. It is never on the internet. Private networks use it less often than RFC 1918 ranges and
 * 100.64.0.0/10 (which VPNs use). Blocks that overlap with a route or an address of the host are skipped.
 */
export const defaultPool = "198.18.0.0/15";

export class AddressPool {
  readonly range: IpRange;
  /** The owner's IPv6 /48, with one /64 for each sandbox. */
  readonly ipv6Range: IpRange;
  readonly #slots: number;
  readonly #taken = new Set<number>();
  #next: number;

  /**
   * @throws {RangeError} when `pool` is not an IPv4 range from /13 to /29. Slots also number the subnets of the IPv6
   * /48.
   */
  constructor(pool: string, globalId: bigint) {
    this.range = parseRange(pool);
    if (this.range.family !== 4 || this.range.bits < 13 || this.range.bits > blockBits) {
      throw new RangeError(`the address pool "${pool}" is not an IPv4 range from /13 to /${blockBits}`);
    }
    this.#slots = 2 ** (blockBits - this.range.bits);
    const first = (0xfdn << 120n) | (globalId << 80n);
    this.ipv6Range = { family: 6, first, last: first | ((1n << 80n) - 1n), bits: 48 };
    // Different owners on a machine start far apart, so that they rarely try the same block.
    this.#next = Number(globalId % BigInt(this.#slots));
  }

  /**
   * Takes the next free block that overlaps none of `occupied`. Goes through the whole pool before it reuses an
   * address. By then, the kernel has forgotten the previous sandbox's connections.
   */
  take(occupied: readonly IpRange[]): AddressBlock | undefined {
    for (let tried = 0; tried < this.#slots; tried += 1) {
      const slot = this.#next;
      this.#next = (slot + 1) % this.#slots;
      if (this.#taken.has(slot)) continue;
      const block = this.#block(slot);
      if (occupied.some((range) => overlaps(range, block.subnet))) continue;
      this.#taken.add(slot);
      return block;
    }
    return undefined;
  }

  giveBack(slot: number): void {
    this.#taken.delete(slot);
  }

  #block(slot: number): AddressBlock {
    const first = this.range.first + BigInt(slot) * 8n;
    const first6 = this.ipv6Range.first + (BigInt(slot) << 64n);
    return {
      slot,
      subnet: { family: 4, first, last: first + 7n, bits: blockBits },
      gateway: formatAddress(4, first + 1n),
      address: formatAddress(4, first + 2n),
      ipv6: {
        subnet: { family: 6, first: first6, last: first6 | ((1n << 64n) - 1n), bits: 64 },
        gateway: formatAddress(6, first6 + 1n),
        address: formatAddress(6, first6 + 2n),
      },
    };
  }
}

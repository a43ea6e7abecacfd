import { ClosedRanges } from "./addresses/closed-ranges.ts";
import type { IpRange } from "./addresses/ip-range.ts";

export interface ClosedDestinationsOptions {
  /** Ranges of the sandboxes' own addresses. */
  readonly pools: readonly IpRange[];
  readonly ranges: readonly string[];
  readonly hosts: readonly string[];
  readonly lookUp?: (host: string) => Promise<readonly string[]>;
  /** Closes additional ranges for all sandboxes. */
  readonly apply: (ranges: readonly IpRange[]) => Promise<void>;
}

/**
 * Destinations that no policy opens, in addition to the ranges that are always closed. Grows when a closed host gets
 * another address.
 */
export class ClosedDestinations {
  readonly pools: readonly IpRange[];
  readonly #ranges: ClosedRanges;
  readonly #apply: (ranges: readonly IpRange[]) => Promise<void>;
  /** Ranges that were found but not closed yet. They stay here if closing fails, so that the next round tries again. */
  readonly #pending: IpRange[] = [];

  constructor({ pools, apply, ...ranges }: ClosedDestinationsOptions) {
    this.pools = pools;
    this.#ranges = new ClosedRanges(ranges);
    this.#apply = apply;
  }

  /** The ranges that the administrator closed, and the addresses of the closed hosts. */
  get given(): readonly IpRange[] {
    return this.#ranges.ranges;
  }

  get all(): readonly IpRange[] {
    return [...this.given, ...this.pools];
  }

  /** Closes the addresses that hosts got since the last lookup, and cuts open connections to them. */
  async refresh(): Promise<void> {
    this.#pending.push(...(await this.#ranges.refresh(Date.now())));
    if (this.#pending.length === 0) return;
    const ranges = [...this.#pending];
    await this.#apply(ranges);
    this.#pending.splice(0, ranges.length);
  }
}

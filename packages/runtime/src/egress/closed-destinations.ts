import { ClosedRanges } from "./addresses/closed-ranges.ts";
import type { IpRange } from "./addresses/ip-range.ts";

export interface ClosedDestinationsOptions {
  /** Where sandboxes have their addresses. */
  readonly pools: readonly IpRange[];
  readonly ranges: readonly string[];
  readonly hosts: readonly string[];
  readonly lookUp?: (host: string) => Promise<readonly string[]>;
  /** Closes further ranges for all sandboxes. */
  readonly apply: (ranges: readonly IpRange[]) => Promise<void>;
}

/** What no policy opens, besides the ranges that are closed everywhere. Grows when a closed host gets another address. */
export class ClosedDestinations {
  readonly pools: readonly IpRange[];
  readonly #ranges: ClosedRanges;
  readonly #apply: (ranges: readonly IpRange[]) => Promise<void>;
  /** Found, but not applied yet. Stays here when that fails, so that the next round tries again. */
  readonly #pending: IpRange[] = [];

  constructor({ pools, apply, ...ranges }: ClosedDestinationsOptions) {
    this.pools = pools;
    this.#ranges = new ClosedRanges(ranges);
    this.#apply = apply;
  }

  /** What the administrator closed, and the addresses of the closed hosts. */
  get given(): readonly IpRange[] {
    return this.#ranges.ranges;
  }

  get all(): readonly IpRange[] {
    return [...this.given, ...this.pools];
  }

  /** Closes the addresses that hosts got since they were looked up last; open connections to them are cut. */
  async refresh(): Promise<void> {
    this.#pending.push(...(await this.#ranges.refresh(Date.now())));
    if (this.#pending.length === 0) return;
    const ranges = [...this.#pending];
    await this.#apply(ranges);
    this.#pending.splice(0, ranges.length);
  }
}

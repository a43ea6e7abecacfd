import { type IpRange, parseRange } from "../addresses/ip-range.ts";
import { specialRanges, touches } from "../addresses/special-ranges.ts";
import type { Pin } from "./pin-ruleset.ts";
import type { RuleTable } from "./rule-table.ts";

/** Addresses that a sandbox may reach because an allowed name leads to them. */
export interface PinRequest {
  readonly slot: number;
  readonly addresses: readonly { readonly family: 4 | 6; readonly address: string; readonly ttl: number }[];
  /** `null`: every port. */
  readonly ports: readonly number[] | null;
}

interface WaitingPins {
  readonly pins: readonly Pin[];
  readonly done: PromiseWithResolvers<void>;
}

/** A program may use an address a little longer than its record lives. */
const marginSeconds = 60;
const maxSeconds = 3600;

/** Opens the addresses of allowed names before the sandbox learns of them. */
export class Pins {
  readonly #table: RuleTable;
  readonly #closed: () => readonly IpRange[];
  readonly #waiting: WaitingPins[] = [];

  /** @param closed ranges that no name opens besides the special ones. */
  constructor({ table, closed }: { readonly table: RuleTable; readonly closed: () => readonly IpRange[] }) {
    this.#table = table;
    this.#closed = closed;
  }

  /** Look-ups that end while a transaction is under way share the next one. */
  async open({ slot, addresses, ports }: PinRequest): Promise<void> {
    if (this.#table.sandboxes.get(slot)?.policy.kind !== "allow") throw new Error("no such sandbox");
    const closed = [...specialRanges, ...this.#closed()];
    const pins = addresses
      .filter(({ address }) => !touches(closed, parseRange(address)))
      .flatMap(({ family, address, ttl }) =>
        (ports ?? [null]).map((port) => ({
          ...{ slot, family, address, port },
          seconds: Math.min(ttl + marginSeconds, maxSeconds),
        })),
      );
    const done = Promise.withResolvers<void>();
    this.#waiting.push({ pins, done });
    if (this.#waiting.length === 1) void this.#write();
    await done.promise;
  }

  async #write(): Promise<void> {
    let waiting: readonly WaitingPins[] = [];
    try {
      await this.#table.pin(() => {
        waiting = this.#waiting.splice(0);
        return waiting.flatMap(({ pins }) => pins);
      });
      for (const { done } of waiting) done.resolve();
    } catch (error) {
      for (const { done } of waiting) done.reject(error);
    }
  }
}

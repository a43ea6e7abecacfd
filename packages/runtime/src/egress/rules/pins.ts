import { type IpRange, parseRange } from "../addresses/ip-range.ts";
import { specialRanges, touches } from "../addresses/special-ranges.ts";
import { maxPins, type Pin } from "./pin-ruleset.ts";
import type { RuleTable } from "./rule-table.ts";
import type { SandboxRules } from "./sandbox-ruleset.ts";

/** Addresses that a sandbox may reach because an allowed name leads to them. */
export interface PinRequest {
  readonly slot: number;
  readonly addresses: readonly { readonly family: 4 | 6; readonly address: string; readonly ttl: number }[];
  /** `null`: every port. */
  readonly ports: readonly number[] | null;
}

/** Pins that one look-up may add, so that a name with many addresses on many ports does not use up a sandbox's room. */
const maxPinsOfLookUp = 1024;
/**
 * How long a pin lasts: the shortest of these that is a minute longer than the record lives, since a program may use an
 * address a little longer. With few durations, a record whose TTL changes all the time does not change its pin each time.
 */
const durations = [120, 660, 3660] as const;
const marginSeconds = 60;
/** A pin is renewed when it would end before the record's life and this. */
const renewalSeconds = 10;

/** The pins of one sandbox. */
interface Ledger {
  /** The rules that the pins belong to. Rules that replace them, or that are restored after a flush, begin with empty sets. */
  readonly rules: SandboxRules;
  readonly known: Map<string, KnownPin>;
  /** What the next transaction writes. */
  next: Batch | undefined;
  /** Settles with the last transaction; never rejects. */
  last: Promise<void>;
  wasFull: boolean;
}

interface Batch {
  readonly pins: Map<string, Pin>;
  /** Settles when the kernel has them. */
  readonly written: Promise<void>;
}

interface KnownPin {
  readonly endsAtMs: number;
  readonly batch: Batch;
}

export interface PinsOptions {
  readonly table: Pick<RuleTable, "sandboxes" | "pin">;
  /** Ranges that no name opens besides the special ones. */
  readonly closed: () => readonly IpRange[];
  /** Called once for each sandbox that wants more pins than there is room for. */
  readonly onFull: (slot: number) => void;
  /** Default: the system's clock. */
  readonly now?: () => number;
}

export interface Opened {
  /** Those of the addresses that are open now. */
  readonly addresses: readonly string[];
  /** Whether others stay closed because the sandbox has opened too many. */
  readonly isFull: boolean;
}

/**
 * Opens the addresses of allowed names before the sandbox learns of them. What one sandbox opens is bounded in number and
 * rate, and each sandbox has transactions of its own, one at a time: one that opens a lot waits for itself only.
 */
export class Pins {
  readonly #options: PinsOptions;
  readonly #now: () => number;
  readonly #ledgers = new Map<number, Ledger>();

  constructor(options: PinsOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /** Rejects if the kernel can't be told. */
  async open({ slot, addresses, ports }: PinRequest): Promise<Opened> {
    const ledger = this.#ledgerOf(slot);
    const closed = [...specialRanges, ...this.#options.closed()];
    const opened: string[] = [];
    const written = new Set<Promise<void>>();
    let added = 0;
    let isFull = false;
    for (const { family, address, ttl } of addresses) {
      if (touches(closed, parseRange(address))) continue;
      const targets = (ports ?? [null]).map((port) => ({ slot, family, address, port }));
      const fresh = targets.filter((target) => !ledger.known.has(keyOf(target))).length;
      if (ledger.known.size + fresh > maxPins) {
        isFull = true;
        continue;
      }
      // The first address fits always, so that a name with many ports works at all.
      if (added > 0 && added + fresh > maxPinsOfLookUp) continue;
      added += fresh;
      opened.push(address);
      for (const target of targets) written.add(this.#pin(ledger, target, ttl));
    }
    if (isFull && !ledger.wasFull) {
      ledger.wasFull = true;
      this.#options.onFull(slot);
    }
    await Promise.all(written);
    return { addresses: opened, isFull };
  }

  /** The sandbox's pins, without those that have ended. */
  #ledgerOf(slot: number): Ledger {
    const { sandboxes } = this.#options.table;
    const rules = sandboxes.get(slot);
    if (rules?.policy.kind !== "allow") throw new Error("no such sandbox");
    for (const other of this.#ledgers.keys()) if (!sandboxes.has(other)) this.#ledgers.delete(other);
    const found = this.#ledgers.get(slot);
    if (found?.rules === rules) {
      const now = this.#now();
      for (const [key, { endsAtMs }] of found.known) if (endsAtMs <= now) found.known.delete(key);
      return found;
    }
    const ledger: Ledger = { rules, known: new Map(), next: undefined, last: Promise.resolve(), wasFull: false };
    this.#ledgers.set(slot, ledger);
    return ledger;
  }

  /** Resolves when the kernel has the pin for at least as long as the record lives. */
  #pin(ledger: Ledger, target: Omit<Pin, "seconds">, ttl: number): Promise<void> {
    const key = keyOf(target);
    const now = this.#now();
    const known = ledger.known.get(key);
    if (known && known.endsAtMs >= now + (ttl + renewalSeconds) * 1000) return known.batch.written;
    const seconds = durations.find((duration) => duration >= ttl + marginSeconds) ?? durations[2];
    ledger.next ??= this.#beginBatch(ledger);
    const batch = ledger.next;
    batch.pins.set(key, { ...target, seconds });
    ledger.known.set(key, { endsAtMs: now + seconds * 1000, batch });
    return batch.written;
  }

  /** What is added until the transaction begins goes into it; what comes later goes into the next one. */
  #beginBatch(ledger: Ledger): Batch {
    const pins = new Map<string, Pin>();
    const written = ledger.last.then(() =>
      this.#options.table.pin(ledger.rules.slot, () => {
        ledger.next = undefined;
        return [...pins.values()];
      }),
    );
    const batch: Batch = { pins, written };
    ledger.last = written.catch(() => {
      ledger.next = ledger.next === batch ? undefined : ledger.next;
      for (const [key, known] of ledger.known) if (known.batch === batch) ledger.known.delete(key);
    });
    return batch;
  }
}

function keyOf({ address, port }: Pick<Pin, "address" | "port">): string {
  return `${address} ${port ?? "*"}`;
}

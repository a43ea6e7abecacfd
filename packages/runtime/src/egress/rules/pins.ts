import { type IpRange, parseRange } from "../addresses/ip-range.ts";
import { specialRanges, touches } from "../addresses/special-ranges.ts";
import { maxPins, type Pin } from "./pin-ruleset.ts";
import type { RuleTable } from "./rule-table.ts";
import type { SandboxRules } from "./sandbox-ruleset.ts";

/** Addresses to open because an allowed name resolves to them. */
export interface PinRequest {
  readonly slot: number;
  readonly addresses: readonly { readonly family: 4 | 6; readonly address: string; readonly ttl: number }[];
  /** `null`: every port. */
  readonly ports: readonly number[] | null;
}

/**
 * Maximum number of pins per lookup, so that a name with many addresses on many ports does not use up a sandbox's pins.
 */
const maxPinsOfLookUp = 1024;
/**
 * Durations of pins in seconds. A pin gets the shortest one that exceeds the record's TTL by a minute, since programs
 * may use an address a little longer. There are few durations, so that changing TTLs don't rewrite the pin each time.
 */
const durations = [120, 660, 3660] as const;
const marginSeconds = 60;
/** A pin is renewed when it would end less than this after the record's TTL. */
const renewalSeconds = 10;

/** The pins of one sandbox. */
interface Ledger {
  /**
   * The rules that the pins belong to. When these rules are replaced or restored after a flush, their sets start empty.
   */
  readonly rules: SandboxRules;
  readonly known: Map<string, KnownPin>;
  /** The batch that the next transaction will write. */
  next: Batch | undefined;
  /** Settles with the last transaction. Never rejects. */
  last: Promise<void>;
  wasFull: boolean;
}

interface Batch {
  readonly pins: Map<string, Pin>;
  /** Settles when the kernel has the pins. */
  readonly written: Promise<void>;
}

interface KnownPin {
  readonly endsAtMs: number;
  readonly batch: Batch;
}

export interface PinsOptions {
  readonly table: Pick<RuleTable, "sandboxes" | "pin">;
  /** Ranges that no name opens, in addition to the special ones. */
  readonly closed: () => readonly IpRange[];
  /** Called once for each sandbox that wants more pins than there is room for. */
  readonly onFull: (slot: number) => void;
  /** Default: the system's clock. */
  readonly now?: () => number;
}

export interface Opened {
  /** The requested addresses that are open now. */
  readonly addresses: readonly string[];
  /** Whether some addresses stay closed because the sandbox has opened too many. */
  readonly isFull: boolean;
}

/**
 * Opens the addresses of allowed names before the sandbox learns them. The number and rate of a sandbox's pins are
 * limited. Each sandbox has its own transactions, one at a time, so a sandbox that opens many addresses delays only
 * itself.
 */
export class Pins {
  readonly #options: PinsOptions;
  readonly #now: () => number;
  readonly #ledgers = new Map<number, Ledger>();

  constructor(options: PinsOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /** Rejects if the kernel can't be updated. */
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
      // The first address always fits, so that a name with many ports works at all.
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

  /** Returns the sandbox's pins, without expired ones. */
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

  /** Resolves when the kernel has the pin for at least the record's TTL. */
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

  /** Starts a batch. It collects pins until its transaction begins. Later pins go into the next batch. */
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

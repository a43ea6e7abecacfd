import type { IpRange } from "../addresses/ip-range.ts";
import type { HostNetwork } from "../host/host-network.ts";
import type { OwnerNames } from "../host/names.ts";
import { ToolError } from "../host/run-tool.ts";
import type { CompiledPolicy } from "../policy/compile-policy.ts";
import { baseRuleset, closingRuleset, pauseRuleset, type SharedRules } from "./base-ruleset.ts";
import type { ConnectionLimits } from "./connection-limits.ts";
import { type Pin, pinRuleset } from "./pin-ruleset.ts";
import { type SandboxRules, sandboxRemoval, sandboxRuleset } from "./sandbox-ruleset.ts";

export interface RuleTableOptions {
  readonly network: HostNetwork;
  readonly names: OwnerNames;
  readonly pools: readonly IpRange[];
  /** The ranges that are closed to every sandbox at the moment. */
  readonly closed: () => readonly IpRange[];
  readonly resolverPort: number;
  /** Must be known before the table is installed. */
  readonly limits: () => ConnectionLimits;
}

/**
 * The owner's table in the kernel, and everything needed to recreate it. Transactions run one after another, so each
 * sees the result of the one before.
 */
export class RuleTable {
  readonly #options: RuleTableOptions;
  readonly #sandboxes = new Map<number, SandboxRules>();
  #installed: Promise<void> | undefined;
  #isPaused = false;
  #transactions: Promise<unknown> = Promise.resolve();

  constructor(options: RuleTableOptions) {
    this.#options = options;
  }

  /** The rules of each sandbox. The object is a different one after the rules were rewritten. */
  get sandboxes(): ReadonlyMap<number, SandboxRules> {
    return this.#sandboxes;
  }

  /** Creates the table on the first call. */
  install(): Promise<void> {
    this.#installed ??= this.#transaction(() => this.#writeAll()).catch((error: unknown) => {
      this.#installed = undefined;
      throw error;
    });
    return this.#installed;
  }

  add(rules: SandboxRules): Promise<void> {
    return this.#transaction(async () => {
      await this.#nft(sandboxRuleset(this.#shared(), rules));
      this.#sandboxes.set(rules.slot, rules);
    });
  }

  replacePolicy(slot: number, policy: CompiledPolicy): Promise<void> {
    return this.#transaction(async () => {
      const rules = this.#sandboxes.get(slot);
      if (rules === undefined) return;
      const next = { ...rules, policy };
      await this.#nft(sandboxRemoval(this.#options.names, rules) + sandboxRuleset(this.#shared(), next));
      this.#sandboxes.set(slot, next);
    });
  }

  remove(slot: number): Promise<void> {
    return this.#transaction(async () => {
      const rules = this.#sandboxes.get(slot);
      if (rules === undefined) return;
      this.#sandboxes.delete(slot);
      await this.#writeOrRestore(sandboxRemoval(this.#options.names, rules));
    });
  }

  /** Closes additional ranges to every sandbox. {@link RuleTableOptions.closed} must already contain them. */
  async close(ranges: readonly IpRange[]): Promise<void> {
    if (this.#installed === undefined) return;
    await this.#transaction(() => this.#writeOrRestore(closingRuleset(this.#options.names, ranges)));
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** Pauses or resumes new connections of all sandboxes. */
  pause(isPaused: boolean): Promise<void> {
    return this.#transaction(async () => {
      this.#isPaused = isPaused;
      await this.#writeOrRestore(pauseRuleset(this.#options.names, isPaused));
    });
  }

  /** @param pins Called when the transaction begins. */
  pin(slot: number, pins: () => readonly Pin[]): Promise<void> {
    return this.#transaction(async () => {
      const waiting = pins();
      if (!this.#sandboxes.has(slot)) throw new Error("no such sandbox");
      await this.#nft(pinRuleset(this.#options.names, waiting));
    });
  }

  /** Runs `inspect` between two transactions, and rewrites all rules unless it finds them in place. */
  restoreUnless(inspect: (listing: unknown) => boolean): Promise<"in place" | "restored"> {
    return this.#transaction(async () => {
      if (this.#sandboxes.size === 0) return "in place";
      const listing = await this.#listSets();
      if (listing !== undefined && inspect(listing)) return "in place";
      await this.#writeAll();
      return "restored";
    });
  }

  /** Removes the table if `isUnused` resolves to true, and calls `onRemoved` before any other transaction. */
  async removeIf(isUnused: () => Promise<boolean>, onRemoved: () => Promise<void>): Promise<void> {
    const { names, network } = this.#options;
    await this.#transaction(async () => {
      if (!(await network.hasTable(names.table)) || !(await isUnused())) return;
      this.#installed = undefined;
      await this.#nft(`delete table inet ${names.table}\n`);
      await onRemoved();
    });
  }

  async #listSets(): Promise<unknown> {
    const { names, network } = this.#options;
    try {
      return await network.nftList("sets", "table", "inet", names.table);
    } catch (error) {
      // The table does not exist.
      if (error instanceof ToolError && error.fault === "failed") return undefined;
      throw error;
    }
  }

  async #writeOrRestore(text: string): Promise<void> {
    try {
      await this.#nft(text);
    } catch (error) {
      if (!(error instanceof ToolError && error.fault === "failed")) throw error;
      // Another program flushed the rules, or this nft is too old to merge ranges.
      await this.#writeAll();
    }
  }

  #writeAll(): Promise<void> {
    const { pools, closed } = this.#options;
    const shared = this.#shared();
    // New objects, because pins and other state of the previous rules are lost.
    for (const [slot, rules] of this.#sandboxes) this.#sandboxes.set(slot, { ...rules });
    const base = baseRuleset({ ...shared, pools, closed: closed(), isPaused: this.#isPaused });
    return this.#nft(base + [...this.#sandboxes.values()].map((rules) => sandboxRuleset(shared, rules)).join(""));
  }

  #shared(): SharedRules {
    const { names, resolverPort, limits } = this.#options;
    return { names, resolverPort, limits: limits() };
  }

  #nft(text: string): Promise<void> {
    return this.#options.network.nft(text);
  }

  #transaction<T>(run: () => Promise<T>): Promise<T> {
    const result = this.#transactions.then(run);
    this.#transactions = result.catch(() => {});
    return result;
  }
}

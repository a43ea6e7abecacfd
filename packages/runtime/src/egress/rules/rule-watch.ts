import { errorMessage } from "@airlock/job";
import type { EgressDenial } from "../../contract/index.ts";
import type { HostNetwork } from "../host/host-network.ts";
import { DenialReporter, parseDenied } from "./denied-destinations.ts";
import type { RuleTable } from "./rule-table.ts";

const intervalMs = 1000;

export interface RuleWatchOptions {
  readonly table: RuleTable;
  readonly network: HostNetwork;
  /** Closes the new addresses of closed hosts. */
  readonly refreshClosed: () => Promise<void>;
  /** Keeps the host's connection table from filling up. */
  readonly guardConnections: () => Promise<void>;
  readonly onProblem: (problem: string) => void;
}

/**
 * Checks the rules every second while there are sandboxes. Reports denials, and restores rules that another program
 * flushed. If that fails, disconnects the sandboxes.
 */
export class RuleWatch {
  readonly #options: RuleWatchOptions;
  readonly #reporters = new Map<number, DenialReporter>();
  #timer: NodeJS.Timeout | undefined;
  #polling: Promise<void> | undefined;

  constructor(options: RuleWatchOptions) {
    this.#options = options;
  }

  start(slot: number, onDenied: (denial: EgressDenial) => void): void {
    this.#reporters.set(slot, new DenialReporter(onDenied));
    this.#timer ??= setInterval(() => void this.#round(), intervalMs).unref();
  }

  stop(slot: number): void {
    this.#reporters.delete(slot);
    if (this.#reporters.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  report(slot: number, denial: EgressDenial): void {
    this.#reporters.get(slot)?.add(denial);
  }

  /** Concurrent calls share one check. Never rejects. */
  poll(): Promise<void> {
    this.#polling ??= this.#inspect().finally(() => {
      this.#polling = undefined;
    });
    return this.#polling;
  }

  async #round(): Promise<void> {
    await this.poll();
    try {
      await this.#options.refreshClosed();
    } catch (error) {
      this.#options.onProblem(`cannot close addresses that must be closed: ${errorMessage(error)}`);
      await this.#cutLinks();
    }
    try {
      await this.#options.guardConnections();
    } catch (error) {
      this.#options.onProblem(`cannot watch the host's connection table: ${errorMessage(error)}`);
    }
  }

  async #inspect(): Promise<void> {
    const { table, onProblem } = this.#options;
    try {
      const outcome = await table.restoreUnless((listing) => {
        const denied = parseDenied(listing);
        for (const [slot, denials] of denied) for (const denial of denials) this.report(slot, denial);
        return [...table.sandboxes.keys()].every((slot) => denied.has(slot));
      });
      if (outcome === "in place") return;
      onProblem("another program flushed the host's nftables rules; those of the sandboxes were restored");
    } catch (error) {
      onProblem(`cannot keep the nftables rules of sandboxes in place: ${errorMessage(error)}`);
      await this.#cutLinks();
    }
  }

  /** Disconnects all sandboxes, because a sandbox must not be connected without enforced rules. */
  async #cutLinks(): Promise<void> {
    const { table, network } = this.#options;
    const commands = [...table.sandboxes.values()].map(({ interfaceName }) => `link set ${interfaceName} down\n`);
    // A link may already be gone, and `ip` may fail like nft. The next round tries again.
    await Promise.allSettled(commands.map((command) => network.ip(command)));
  }
}

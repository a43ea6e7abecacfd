import { z } from "zod";
import type { HostNetwork } from "./host-network.ts";
import { ToolError } from "./run-tool.ts";

/** Without the prefix of the owners' tables, because all owners share it. */
const table = "forwarding_by_airlock";
const families = ["ipv4", "ipv6"] as const;

/** A setting of one interface that makes the host forward packets that arrive on it. */
export interface ForwardingSetting {
  readonly family: (typeof families)[number];
  readonly device: string;
}

const Listing = z.object({
  nftables: z.array(
    z.object({ set: z.object({ name: z.enum(families), elem: z.array(z.string()).optional() }).optional() }),
  ),
});

/**
 * Records in the kernel which settings executors turned on. The record survives a killed executor, so the next one can
 * turn them off again. It disappears together with the settings when the machine restarts. An nftables table without
 * chains has no other effect.
 */
export class ForwardingRecord {
  readonly #network: HostNetwork;

  constructor(network: HostNetwork) {
    this.#network = network;
  }

  async add(settings: readonly ForwardingSetting[]): Promise<void> {
    if (settings.length === 0) return;
    const lines = [
      `add table inet ${table}`,
      ...families.map((family) => `add set inet ${table} ${family} { type ifname; }`),
      ...settings.map(({ family, device }) => `add element inet ${table} ${family} { "${device}" }`),
    ];
    await this.#network.nft(`${lines.join("\n")}\n`);
  }

  async read(): Promise<readonly ForwardingSetting[]> {
    let listing: unknown;
    try {
      listing = await this.#network.nftList("sets", "table", "inet", table);
    } catch (error) {
      // Nothing was recorded.
      if (error instanceof ToolError && error.fault === "failed") return [];
      throw error;
    }
    return Listing.parse(listing).nftables.flatMap(({ set }) =>
      (set?.elem ?? []).flatMap((device) => (set ? [{ family: set.name, device }] : [])),
    );
  }

  async clear(): Promise<void> {
    // Adding first makes the deletion succeed whether the table existed or not.
    await this.#network.nft(`add table inet ${table}\ndelete table inet ${table}\n`);
  }
}

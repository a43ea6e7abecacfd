import type { EgressCapabilities } from "./capabilities.ts";
import type { EgressEngine, EgressOptions } from "./egress-engine.ts";
import { HostNetwork } from "./host/host-network.ts";
import { createEgressEngine } from "./nftables-engine.ts";

/** The egress engines of a runtime, one for each owner of sandboxes. */
export class EgressEngines {
  readonly #options: EgressOptions;
  readonly #engines = new Map<string, EgressEngine>();

  constructor(options: EgressOptions) {
    this.#options = options;
  }

  for(owner: string): EgressEngine {
    const engine = this.#engines.get(owner) ?? createEgressEngine({ ...this.#options, owner });
    this.#engines.set(owner, engine);
    return engine;
  }

  /** Names of all interfaces in the network that sandboxes are attached to. */
  async interfaces(): Promise<ReadonlySet<string>> {
    const { links } = await new HostNetwork(this.#options.networkNamespace).readState();
    return new Set(links.map(({ name }) => name));
  }

  /** Capabilities of the host, which are the same for every owner. */
  capabilities(): Promise<EgressCapabilities> {
    const [known] = this.#engines.values();
    return (known ?? createEgressEngine({ ...this.#options, owner: "capabilities" })).capabilities();
  }

  async close(): Promise<void> {
    await Promise.all([...this.#engines.values()].map((engine) => engine.close()));
  }
}

import type { EgressCapabilities } from "./capabilities.ts";
import { createEgressEngine, type EgressEngine, type EgressOptions } from "./egress-engine.ts";

/** The engines of a runtime, one for each owner of its sandboxes. */
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

  /** The same for every owner. */
  capabilities(): Promise<EgressCapabilities> {
    const [known] = this.#engines.values();
    return (known ?? createEgressEngine({ ...this.#options, owner: "capabilities" })).capabilities();
  }

  async close(): Promise<void> {
    await Promise.all([...this.#engines.values()].map((engine) => engine.close()));
  }
}

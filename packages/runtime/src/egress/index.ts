export type { EgressCapabilities } from "./capabilities.ts";
export type { EgressEngine, EgressOptions } from "./egress-engine.ts";
export { EgressEngines } from "./egress-engines.ts";

export type { EgressCapabilities } from "./capabilities.ts";
export type { EgressDenial } from "./denied-destinations.ts";
export type { Upstream } from "./dns/upstream.ts";
export type {
  EgressAttachment,
  EgressEngine,
  EgressOptions,
  NamespaceAttachment,
  PreparedBridge,
} from "./egress-engine.ts";
export { EgressEngines } from "./egress-engines.ts";

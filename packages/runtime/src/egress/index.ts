export type { EgressCapabilities } from "./capabilities.ts";
export type { ConnectedPolicy } from "./compile-policy.ts";
export type { EgressDenial } from "./denied-destinations.ts";
export type { Upstream } from "./dns/upstream.ts";
export {
  createEgressEngine,
  type EgressAttachment,
  type EgressEngine,
  type EgressOptions,
  type NamespaceAttachment,
  type PreparedBridge,
  type SandboxEgress,
} from "./egress-engine.ts";

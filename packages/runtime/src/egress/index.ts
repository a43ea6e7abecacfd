export type { EgressCapabilities } from "./capabilities.ts";
export type { Bandwidth } from "./connect-guest.ts";
export type { EgressEngine, EgressOptions, GuestAttachment } from "./egress-engine.ts";
export { EgressEngines } from "./egress-engines.ts";
export { guestMac, guestTap } from "./rules/guest-ruleset.ts";

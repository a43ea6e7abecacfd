export * from "./contract.ts";
export { type RangeAllowRule, uncoveredPrivateRules } from "./egress/private-rules.ts";
export { problemOfAddressPool, problemOfAddressRange } from "./egress/problems-of-settings.ts";
export * from "./errors.ts";
export * from "./isolation/hardening.ts";

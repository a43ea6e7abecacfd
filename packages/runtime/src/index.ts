export * from "./contract.ts";
export { type RangeAllowRule, uncoveredPrivateRules } from "./egress/private-rules.ts";
export { problemOfAddressPool, problemOfAddressRange } from "./egress/problems-of-settings.ts";
export * from "./errors.ts";
export type { ImageOptions } from "./images/image-options.ts";
export { type ImagePattern, parseImagePattern } from "./images/image-pattern.ts";
export type { ImagePolicy, PullPolicy } from "./images/image-policy.ts";
export { canonicalRegistry } from "./images/image-reference.ts";
export * from "./isolation/hardening.ts";

export * from "./contract/index.ts";
export { type RangeAllowRule, uncoveredPrivateRules } from "./egress/addresses/private-rules.ts";
export { problemOfAddressPool, problemOfAddressRange } from "./egress/addresses/problems-of-settings.ts";
export type { ImageOptions } from "./images/policy/image-options.ts";
export type { ImagePolicy, PullPolicy } from "./images/policy/image-policy.ts";
export { type ImagePattern, parseImagePattern } from "./images/reference/image-pattern.ts";
export { canonicalRegistry } from "./images/reference/image-reference.ts";
export * from "./isolation/hardening.ts";
export { maximumVmCpus } from "./microvm/monitor/maximum-vm-cpus.ts";

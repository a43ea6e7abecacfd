export { describeIssues } from "./describe-issues.ts";
export * from "./executor-api/index.ts";
export { Checkout, defaultCheckout, maxCheckoutDepth, sparsePatterns } from "./job/checkout.ts";
export * from "./job/job-spec.ts";
export * from "./job/results.ts";
export { stepIndexes, stepNameOf } from "./job/step-entries.ts";
export { ExecutorName } from "./primitives/primitives.ts";
export { escapeHiddenInJson, escapeHiddenInLines, PlainText } from "./primitives/stored-text.ts";
export * from "./rest/index.ts";

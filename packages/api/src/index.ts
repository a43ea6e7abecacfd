export { describeIssues } from "./describe-issues.ts";
export * from "./executor-api/index.ts";
export * from "./job-spec.ts";
export * from "./rest/index.ts";
export * from "./results.ts";

export * from "./abortable.ts";
export * from "./egress-denial.ts";
export * from "./errors.ts";
export * from "./runtime.ts";
export * from "./sandbox.ts";
export * from "./sandbox-plan.ts";
export * from "./step.ts";
export * from "./workspace.ts";

export * from "./artifacts.ts";
export * from "./error.ts";
export * from "./executors.ts";
export * from "./jobs.ts";
export * from "./live-events.ts";
export * from "./queues.ts";
export * from "./repositories.ts";
export * from "./session.ts";

export { createDatabase, type TestDatabase } from "./create-database.ts";
export { describeWithEngines, type EngineName, type Engines, engines } from "./engines.ts";
export { type TemporaryDirectory, temporaryDirectory } from "./temporary-directory.ts";

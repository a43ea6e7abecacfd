export { describeWithEngines, type EngineName, type Engines, engines } from "./engines.ts";

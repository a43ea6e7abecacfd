import type { TestProject } from "vitest/node";
import { parseEngineNames } from "./engines-contract.ts";
import { startEngines } from "./start-engines.ts";

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const { AIRLOCK_TEST_ENGINES, AIRLOCK_TEST_REQUIRE } = process.env;
  const running = await startEngines(parseEngineNames(AIRLOCK_TEST_ENGINES));
  project.provide("engines", running.engines);
  project.provide("runDirectory", running.directory);
  project.provide("enginesRequired", AIRLOCK_TEST_REQUIRE === "all");
  return async () => {
    await running[Symbol.asyncDispose]();
  };
}

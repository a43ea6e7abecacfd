import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { parseEngineNames } from "./engines-contract.ts";
import { startEngines } from "./start-engines.ts";

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const { AIRLOCK_TEST_ENGINES, AIRLOCK_TEST_REQUIRE } = process.env;
  const running = await startEngines(parseEngineNames(AIRLOCK_TEST_ENGINES));
  // Workers and the programs that they start compile the same modules hundreds of times in a run.
  process.env.NODE_COMPILE_CACHE ??= join(running.directory, "compile-cache");
  project.provide("engines", running.engines);
  project.provide("runDirectory", running.directory);
  project.provide("enginesRequired", AIRLOCK_TEST_REQUIRE === "all");
  return async () => {
    await running[Symbol.asyncDispose]();
  };
}

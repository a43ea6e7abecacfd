import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** Runs suites of the test cluster last: on a new machine its program is still being built when the run starts. */
class ClusterSuitesLast extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const needsCluster = ({ moduleId }: TestSpecification) => moduleId.includes("/kubernetes/");
    return [...sorted.filter((file) => !needsCluster(file)), ...sorted.filter(needsCluster)];
  }
}

export default defineConfig({
  test: {
    include: ["{packages,apps}/*/src/**/*.test.{ts,tsx}", "scripts/**/*.test.ts", "{bench,chaos}/src/**/*.test.ts"],
    globalSetup: ["packages/test-kit/src/engines/global-setup.ts"],
    sequence: { sequencer: ClusterSuitesLast },
    pool: "forks",
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});

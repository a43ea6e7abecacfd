import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/**
 * Runs suites of the test cluster in the middle. On a new machine its program is still being built when the run starts.
 * At the end, the longest suites would leave the other workers without work.
 */
class ClusterSuitesInTheMiddle extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const needsCluster = ({ moduleId }: TestSpecification) => moduleId.includes("/kubernetes/");
    const others = sorted.filter((file) => !needsCluster(file));
    const middle = Math.ceil(others.length / 2);
    return [...others.slice(0, middle), ...sorted.filter(needsCluster), ...others.slice(middle)];
  }
}

export default defineConfig({
  test: {
    include: ["{packages,apps}/*/src/**/*.test.{ts,tsx}", "scripts/**/*.test.ts", "{bench,chaos}/src/**/*.test.ts"],
    globalSetup: ["packages/test-kit/src/engines/global-setup.ts"],
    sequence: { sequencer: ClusterSuitesInTheMiddle },
    pool: "forks",
    // Many tests wait for processes, leases and time limits, so even two cores run two files at the same time.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    // An emulated machine that boots on busy cores takes up to a minute.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // The default of one second is too short for a browser or a process on busy cores.
    expect: { poll: { timeout: 30_000 } },
  },
});

import { availableParallelism } from "node:os";
import { configDefaults, defineConfig } from "vitest/config";
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

const include = ["{packages,apps}/*/src/**/*.test.{ts,tsx}", "scripts/**/*.test.ts", "{bench,chaos}/src/**/*.test.ts"];
/**
 * Chromium ends all its requests with ERR_NETWORK_CHANGED when this machine gets or loses an address, as it does when an
 * executor of another suite runs a job. So these suites run first, without the others.
 */
const inBrowser = ["apps/web/src/*.test.ts", "apps/instance/src/http/rest-api/oidc-browser.test.ts"];
const options = {
  pool: "forks",
  // An emulated machine that boots on busy cores takes up to a minute.
  testTimeout: 120_000,
  hookTimeout: 120_000,
  // The default of one second is too short for a browser or a process on busy cores.
  expect: { poll: { timeout: 30_000 } },
} as const;

export default defineConfig({
  test: {
    globalSetup: ["packages/test-kit/src/engines/global-setup.ts"],
    sequence: { sequencer: ClusterSuitesInTheMiddle },
    // Many tests wait for processes, leases and time limits, so even two cores run two files at the same time.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    projects: [
      { test: { ...options, name: "browser", include: inBrowser, sequence: { groupOrder: 0 } } },
      {
        test: {
          ...options,
          name: "other",
          include,
          exclude: [...configDefaults.exclude, ...inBrowser],
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});

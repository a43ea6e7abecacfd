import type { Reporter, TestCase, TestModule, TestSuite } from "vitest/node";

/** Ends a test run with the skipped suites and the line for machines: `N passed, N failed`. */
export default class SummaryReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    let passed = 0;
    // A file that does not load, or an error outside of tests, fails the run without a failed test, so count it.
    let failed = unhandledErrors.length;
    const skipped: string[] = [];
    for (const module of modules) {
      if (module.errors().length > 0) failed += 1;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === "passed") passed += 1;
        else if (state === "failed") failed += 1;
        else skipped.push(skippedName(test));
      }
      for (const suite of module.children.allSuites()) if (suite.errors().length > 0) failed += 1;
    }
    const suites = [...new Set(skipped)];
    if (suites.length > 0) {
      console.log(`\nSkipped suites (${skipped.length} tests):`);
      for (const suite of suites) console.log(`  - ${suite}`);
    }
    if (process.env.AIRLOCK_TEST_REQUIRE === "all" && skipped.length > 0) {
      console.log("AIRLOCK_TEST_REQUIRE=all: a skipped suite is a failure.");
      failed += suites.length;
      process.exitCode = 1;
    }
    console.log(`\n${passed} passed, ${failed} failed${skipped.length > 0 ? `, ${skipped.length} skipped` : ""}`);
  }
}

/** The name of what was skipped: the outermost suite if all its tests were skipped, else the single test. */
function skippedName(test: TestCase): string {
  let suite: TestSuite | undefined;
  for (let parent = test.parent; parent.type === "suite"; parent = parent.parent) suite = parent;
  if (!suite) return `${test.module.relativeModuleId} > ${test.name}`;
  const isWhole = [...suite.children.allTests()].every((other) => other.result().state === "skipped");
  return isWhole ? suite.name : `${suite.name} > ${test.name}`;
}

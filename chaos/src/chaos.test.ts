import { describeWithEngines } from "@airlock/test-kit";
import { expect, it } from "vitest";
import { type ChaosOptions, runChaos } from "./run-chaos.ts";

const testMs = 600_000;

describeWithEngines(["oci", "postgres"], "random kills of executors and instances", () => {
  it(
    "lose no job or log line, end no job twice and leave nothing behind",
    async () => {
      await expectNothingLost({ runtime: "oci", jobs: 60, instances: 2, slots: 2 });
    },
    testMs,
  );
});

describeWithEngines(["microvm", "postgres"], "random kills of executors with virtual machines", () => {
  it(
    "lose no job or log line, end no job twice and leave nothing behind",
    async () => {
      // On a slow machine, a job could otherwise never end between two faults.
      await expectNothingLost({ runtime: "microvm", jobs: 5, instances: 1, slots: 1, maximumBlows: 6 });
    },
    testMs,
  );
});

async function expectNothingLost(
  options: Pick<ChaosOptions, "runtime" | "jobs" | "instances" | "slots" | "maximumBlows">,
): Promise<void> {
  const report = await runChaos({
    seed: 20_261_121,
    executors: 2,
    timeoutMs: testMs - 60_000,
    keep: false,
    progress: () => {},
    ...options,
  });
  expect(report.faults).toEqual([]);
  expect(report.leftovers).toEqual([]);
  // A run without kills would prove nothing.
  expect(report.blows.executor).toBeGreaterThan(0);
  expect(report.blows.instance).toBeGreaterThan(0);
}

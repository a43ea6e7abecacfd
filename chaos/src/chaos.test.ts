import { describeWithEngines } from "@airlock/test-kit";
import { expect, it } from "vitest";
import { runChaos } from "./run-chaos.ts";

describeWithEngines(["oci", "postgres"], "random kills of executors and instances", () => {
  it("lose no job or log line, end no job twice and leave nothing behind", async () => {
    const report = await runChaos({
      seed: 20_261_121,
      jobs: 60,
      instances: 2,
      executors: 2,
      slots: 2,
      timeoutMs: 240_000,
      keep: false,
      progress: () => {},
    });
    expect(report.faults).toEqual([]);
    expect(report.leftovers).toEqual([]);
    // A run without kills would prove nothing.
    expect(report.blows.executor).toBeGreaterThan(0);
    expect(report.blows.instance).toBeGreaterThan(0);
  }, 300_000);
});

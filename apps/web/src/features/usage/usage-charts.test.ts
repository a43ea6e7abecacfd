import type { StepUsage } from "@airlock/api";
import { describe, expect, it } from "vitest";
import { usageCharts } from "./usage-charts.ts";

const usage: StepUsage = {
  step: 0,
  startedAt: "2026-01-01T00:00:00.000Z",
  intervalMs: 1000,
  durationMs: 2500,
  limits: { cpus: 2, memoryBytes: 2 ** 30, diskBytes: null },
  cpuMs: [500, 2000, 500],
  memoryBytes: [100, 2 ** 30, 50],
  diskBytes: null,
  receivedBytes: [1024, 0, 0],
  sentBytes: [0, 0, 0],
};

describe("usageCharts", () => {
  it("describes what a step used, and tells what was close to its limit", () => {
    expect(usageCharts(usage).map(({ name, summary, nearLimit }) => [name, summary, nearLimit])).toEqual([
      ["CPU", "1.2 of 2 cores on average, at most 2", false],
      ["Memory", "at most 1 GiB of 1 GiB: close to the limit", true],
      ["Disk", "not measured", false],
      ["Network", "1 KiB received, 0 B sent", false],
    ]);
  });

  it("takes the shorter last interval into account, and leaves out one that says nothing", () => {
    expect(usageCharts(usage)[0]?.lines).toEqual([[0.5, 2, 1]]);
    expect(usageCharts({ ...usage, durationMs: 2001, cpuMs: [1, 1, 900] })[0]?.lines).toEqual([[0.001, 0.001]]);
    expect(
      usageCharts({ ...usage, durationMs: 0, cpuMs: [], memoryBytes: [], receivedBytes: [], sentBytes: [] }),
    ).toHaveLength(4);
  });
});

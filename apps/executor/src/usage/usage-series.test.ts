import { maxUsageSamples } from "@airlock/api";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { UsageSeries } from "./usage-series.ts";

const traffic = (bytes: number) => ({ receivedBytes: bytes, sentBytes: 2 * bytes });

describe("UsageSeries", () => {
  it("turns counters into amounts for each interval, and keeps the highest level of each", () => {
    const series = new UsageSeries();
    series.add({ cpuMs: 5000, memoryBytes: 10, network: traffic(7) }, 0);
    series.add({ cpuMs: 5300, memoryBytes: 90, network: traffic(7) }, 500);
    series.add({ cpuMs: 5600, memoryBytes: 20, network: traffic(107) }, 1000);
    series.add({ cpuMs: 5700, memoryBytes: 30, network: traffic(107) }, 1400);
    expect(series.read()).toEqual({
      cpuMs: [600, 100],
      memoryBytes: [90, 30],
      diskBytes: null,
      receivedBytes: [100, 0],
      sentBytes: [200, 0],
    });
    expect(series.durationMs).toBe(1400);
  });

  it("does not lose a peak to the merging of samples in a step of days", () => {
    const series = new UsageSeries();
    for (let second = 0; second <= 200_000; second += 1) {
      series.add({ cpuMs: second * 10, memoryBytes: second === 77_777 ? 5000 : 100 }, second * 1000);
    }
    const { cpuMs, memoryBytes } = series.read();
    expect(series.intervalMs).toBe(512_000);
    expect(memoryBytes?.indexOf(5000)).toBe(Math.floor(77_777 / 512));
    expect(cpuMs?.reduce((sum, ms) => sum + ms)).toBe(2_000_000);
  });

  it("bounds the number of samples and loses nothing that was counted, whatever is read when", () => {
    const reading = fc.record({
      afterMs: fc.oneof(fc.nat({ max: 1500 }), fc.nat({ max: 10_000_000 })),
      cpuMs: fc.nat({ max: 1000 }),
      memoryBytes: fc.nat({ max: 2 ** 40 }),
    });
    fc.assert(
      fc.property(fc.array(reading, { minLength: 1, maxLength: 200 }), (readings) => {
        const series = new UsageSeries();
        let [atMs, cpuMs] = [0, 123];
        series.add({ cpuMs, memoryBytes: 0 }, 0);
        for (const { afterMs, cpuMs: more, memoryBytes } of readings) {
          atMs += afterMs;
          cpuMs += more;
          series.add({ cpuMs, memoryBytes }, atMs);
        }
        const read = series.read();
        expect(read.cpuMs?.length).toBeLessThanOrEqual(maxUsageSamples);
        expect(read.memoryBytes?.length).toBe(read.cpuMs?.length);
        expect((read.memoryBytes?.length ?? 0) * series.intervalMs).toBeGreaterThanOrEqual(atMs);
        expect(Math.max(0, ...(read.memoryBytes ?? []))).toBe(Math.max(0, ...readings.map((each) => each.memoryBytes)));
        // What was counted in a gap is spread over its intervals, in whole milliseconds.
        const total = read.cpuMs?.reduce((sum, ms) => sum + ms, 0) ?? 0;
        expect(Math.abs(total - (cpuMs - 123))).toBeLessThanOrEqual(300 * readings.length);
      }),
    );
  });

  it("counts nothing twice when a container takes its counters with it", () => {
    const series = new UsageSeries();
    for (const [second, cpuMs] of [0, 400, 100, 150].entries()) series.add({ cpuMs }, second * 1000);
    expect(series.read().cpuMs).toEqual([400, 0, 50]);
  });
});

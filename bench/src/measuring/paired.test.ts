import { describe, expect, it } from "vitest";
import { pairedRatio, percentile, runPaired } from "./paired.ts";
import { compare, formatResult } from "./result.ts";

describe("runPaired", () => {
  it("alternates between the subjects and does not count warm-up rounds", async () => {
    const calls: string[] = [];
    const subject = (name: string) => ({
      name,
      run: async (round: number) => {
        calls.push(`${name}${round}`);
        return round;
      },
    });
    const samples = await runPaired([subject("a"), subject("b")], { rounds: 2, warmup: 1 });
    expect(calls).toEqual(["a-1", "b-1", "a0", "b0", "a1", "b1"]);
    expect(samples).toEqual([
      { name: "a", values: [0, 1] },
      { name: "b", values: [0, 1] },
    ]);
  });
});

describe("percentile", () => {
  it("returns the nearest rank", () => {
    const values = Array.from({ length: 100 }, (_, index) => 100 - index);
    expect([0, 50, 99, 100].map((percent) => percentile(values, percent))).toEqual([1, 50, 99, 100]);
    expect(percentile([], 50)).toBeNaN();
  });
});

describe("pairedRatio", () => {
  it("compares round by round, so that a drift of the machine cancels out", () => {
    const drifting = [1, 2, 4, 8];
    const ratio = pairedRatio({ name: "a", values: drifting.map((ms) => ms * 3) }, { name: "b", values: drifting });
    expect(ratio).toBe(3);
  });
});

describe("formatResult", () => {
  it("shows for each target whether it was reached", () => {
    const samples = [
      { name: "ours", values: [30] },
      { name: "floor", values: [10] },
    ];
    const comparisons = [compare(samples, "ours", "floor", 3), compare(samples, "ours", "floor", 2)];
    const text = formatResult({ bench: "x", rounds: 1, samples, comparisons, notes: ["n"] });
    expect(text).toMatch(/3\.000 ×.*≤ 3 ×.*reached/);
    expect(text).toMatch(/3\.000 ×.*≤ 2 ×.*missed/);
  });
});

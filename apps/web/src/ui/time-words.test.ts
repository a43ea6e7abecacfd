import { describe, expect, it } from "vitest";
import { durationLimit, growingDuration, relativeTime } from "./time-words.ts";

describe("relativeTime", () => {
  const now = Date.UTC(2026, 0, 10);
  it.each([
    [0, "just now"],
    [4000, "just now"],
    [12_000, "12 sec. ago"],
    [119_000, "1 min. ago"],
    [3 * 3_600_000, "3 hr. ago"],
    [86_400_000, "yesterday"],
    [5 * 86_400_000, "5 days ago"],
    [-90_000, "in 1 min."],
  ])("reads %d ms ago as %s", (agoMs, words) => {
    expect(relativeTime(now - agoMs, now)).toBe(words);
  });
});

describe("growingDuration", () => {
  it.each([
    [-50, "0s"],
    [999, "0s"],
    [59_900, "59s"],
    [61_000, "1m 1s"],
  ])("shows %d ms as %s", (ms, words) => {
    expect(growingDuration(ms)).toBe(words);
  });
});

describe("durationLimit", () => {
  it.each([
    [15_000, "15s"],
    [1_800_000, "30m"],
    [3_600_000, "1h"],
    [5_400_000, "1h 30m"],
    [1500, "1.5s"],
  ])("shows %d ms as %s", (ms, words) => {
    expect(durationLimit(ms)).toBe(words);
  });
});

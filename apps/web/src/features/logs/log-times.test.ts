import { describe, expect, it } from "vitest";
import { clockTime, nextTimeMode, timeSince } from "./log-times.ts";

describe("times in a log", () => {
  it("are shown since the start of the step, never below zero", () => {
    expect(timeSince(1000, 1000)).toBe("+0.000");
    expect(timeSince(1000, 8250)).toBe("+7.250");
    expect(timeSince(0, 60_000)).toBe("+1:00.000");
    expect(timeSince(0, 3_787_250)).toBe("+1:03:07.250");
    expect(timeSince(0, 86_400_000 * 2)).toBe("+48:00:00.000");
    expect(timeSince(5000, 1000)).toBe("+0.000");
  });

  it("are shown as the time of day in the reader's time zone", () => {
    expect(clockTime(new Date(2026, 0, 2, 3, 4, 5, 6).getTime())).toBe("03:04:05.006");
  });

  it("change from off to relative to absolute and back", () => {
    expect(nextTimeMode("off")).toBe("relative");
    expect(nextTimeMode("relative")).toBe("absolute");
    expect(nextTimeMode("absolute")).toBe("off");
  });
});

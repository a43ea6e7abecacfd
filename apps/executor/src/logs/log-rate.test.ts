import { expect, it } from "vitest";
import { LogRate } from "./log-rate.ts";

it("the log rate passes one second's worth at once, then limits the rate, and never delays one write for long", () => {
  let now = 0;
  const rate = new LogRate(1000, () => now);

  expect(rate.take(1000)).toBe(0);
  expect(rate.take(500)).toBe(500);
  now += 500;
  expect(rate.take(0)).toBe(0);
  expect(rate.take(10_000)).toBe(1000);
  now += 1000;
  // The debt of earlier writes remains.
  expect(rate.take(0)).toBe(1000);
  now += 1_000_000;
  expect(rate.take(1000)).toBe(0);
  expect(rate.take(1)).toBe(1);
});

it("the log rate is unlimited at 0", () => {
  expect(new LogRate(0).take(Number.MAX_SAFE_INTEGER)).toBe(0);
});

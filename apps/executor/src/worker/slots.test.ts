import { getEventListeners } from "node:events";
import { describe, expect, it } from "vitest";
import { Slots } from "./slots.ts";

describe("Slots", () => {
  it("leaves no listener on the signal after each wait", async () => {
    const { signal } = new AbortController();
    const slots = new Slots(1);
    expect(await slots.acquire(signal)).toBe(true);
    for (let round = 0; round < 20; round += 1) {
      const next = slots.acquire(signal);
      slots.release();
      expect(await next).toBe(true);
    }
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });

  it("ends a wait on abort", async () => {
    const stop = new AbortController();
    const slots = new Slots(1);
    await slots.acquire(stop.signal);
    const next = slots.acquire(stop.signal);
    stop.abort();
    expect([await next, await slots.acquire(stop.signal)]).toEqual([false, false]);
  });
});

import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { IdleMemory } from "./idle-memory.ts";

describe("an idle executor's memory", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it("is released once nothing has run for a while, and no earlier", () => {
    const collect = vi.fn();
    const memory = new IdleMemory(collect);

    memory.idle();
    vi.advanceTimersByTime(1500);
    memory.busy();
    vi.advanceTimersByTime(10_000);
    expect(collect).not.toHaveBeenCalled();
    memory.idle();
    vi.advanceTimersByTime(1500);
    memory.idle();
    vi.advanceTimersByTime(1500);
    expect(collect).not.toHaveBeenCalled();
    vi.advanceTimersByTime(10_000);
    expect(collect).toHaveBeenCalledTimes(1);
  });

  it("is actually garbage-collected", async () => {
    vi.useRealTimers();
    const memory = new IdleMemory();
    const garbage = new WeakRef({ bytes: new Uint8Array(1_000_000) });
    expect(garbage.deref()).toBeDefined();

    memory.idle();
    await sleep(2500);

    expect(garbage.deref()).toBeUndefined();
  });
});

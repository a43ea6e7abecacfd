import { getEventListeners } from "node:events";
import { Readable } from "node:stream";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { limitBytes, onAbort, pause, readAtMost, startDeadline, startTimer, Wakeup } from "./index.ts";

const day = 24 * 3_600_000;
const listenersOf = (signal: AbortSignal) => getEventListeners(signal, "abort").length;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("onAbort", () => {
  it("calls back once, immediately on an aborted signal, and never after it was disposed", () => {
    const controller = new AbortController();
    const calls: string[] = [];
    const early = onAbort(controller.signal, () => calls.push("early"));
    onAbort(controller.signal, () => calls.push("late"));
    early[Symbol.dispose]();
    controller.abort();
    onAbort(controller.signal, () => calls.push("aborted"));
    expect(calls).toEqual(["late", "aborted"]);
    expect(listenersOf(controller.signal)).toBe(0);
  });
});

describe("startTimer", () => {
  it.each([0, 1000, 24 * day, 25 * day, 50 * day])("calls back after %d ms and no earlier", (ms) => {
    const callback = vi.fn();
    startTimer(ms, callback);
    vi.advanceTimersByTime(Math.max(0, ms - 1));
    if (ms > 0) expect(callback).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(callback).toHaveBeenCalledOnce();
    vi.advanceTimersByTime(100 * day);
    expect(callback).toHaveBeenCalledOnce();
  });

  it("never calls back for Infinity, nor after it was disposed", () => {
    const callback = vi.fn();
    startTimer(Number.POSITIVE_INFINITY, callback);
    const disposed = startTimer(50 * day, callback);
    vi.advanceTimersByTime(30 * day);
    disposed[Symbol.dispose]();
    vi.advanceTimersByTime(1000 * day);
    expect(callback).not.toHaveBeenCalled();
  });
});

describe("startDeadline", () => {
  it("aborts with its own reason after any duration, or earlier with the reason of the outer signal", () => {
    const late = startDeadline(50 * day, () => new Error("late"));
    const outer = new AbortController();
    const stopped = startDeadline(50 * day, () => new Error("late"), outer.signal);
    vi.advanceTimersByTime(50 * day - 1);
    expect(late.signal.aborted).toBe(false);
    outer.abort(new Error("outer"));
    vi.advanceTimersByTime(1);
    expect([late.signal.reason, stopped.signal.reason]).toEqual([new Error("late"), new Error("outer")]);
  });

  it("does not abort after it was disposed", () => {
    const deadline = startDeadline(1000, () => new Error("late"));
    deadline[Symbol.dispose]();
    vi.advanceTimersByTime(2000);
    expect([deadline.signal.aborted, vi.getTimerCount()]).toEqual([false, 0]);
  });
});

describe("pause", () => {
  it("resolves to true after the time, to false on abort, and leaves no listener", async () => {
    const controller = new AbortController();
    const over = pause(50 * day, controller.signal);
    vi.advanceTimersByTime(50 * day);
    expect(await over).toBe(true);
    const aborted = pause(50 * day, controller.signal);
    controller.abort();
    expect([await aborted, await pause(0, controller.signal)]).toEqual([false, false]);
    expect([listenersOf(controller.signal), vi.getTimerCount()]).toEqual([0, 0]);
  });
});

describe("Wakeup", () => {
  it("ends a wait on a wake-up, at the timeout and on abort, and leaves neither listener nor timer", async () => {
    const controller = new AbortController();
    const wakeup = new Wakeup();
    const woken = wakeup.wait(1000, controller.signal);
    wakeup.wake();
    await woken;
    const timedOut = wakeup.wait(1000, controller.signal);
    vi.advanceTimersByTime(1000);
    await timedOut;
    const aborted = wakeup.wait(1000, controller.signal);
    controller.abort();
    await aborted;
    expect([listenersOf(controller.signal), vi.getTimerCount()]).toEqual([0, 0]);
  });

  it("keeps a wake-up that comes while nothing waits for the next wait only", async () => {
    const { signal } = new AbortController();
    const wakeup = new Wakeup();
    wakeup.wake();
    wakeup.wake();
    await wakeup.wait(1000, signal);
    const next = vi.fn();
    const wait = wakeup.wait(1000, signal).then(next);
    await Promise.resolve();
    expect(next).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1000);
    await wait;
  });
});

describe("limitBytes", () => {
  const source = () => Readable.from([Buffer.alloc(3), Buffer.alloc(4)]);
  const tooMany = () => new Error("too many");

  it("passes data within the limit, and stops reading at the part that exceeds it", async () => {
    expect(await readAtMost(source(), 7, tooMany)).toHaveLength(7);
    const readable = source();
    const passed: number[] = [];
    const read = async () => {
      for await (const part of limitBytes<Buffer>(readable, 6, tooMany)) passed.push(part.length);
    };
    await expect(read()).rejects.toThrow("too many");
    expect([passed, readable.destroyed]).toEqual([[3], true]);
  });
});

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { BusyRegistryError, parseRetryAfter, RegistryPatience } from "./registry-patience.ts";

const signal = new AbortController().signal;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** Fails with each of these errors, then succeeds. */
function failing(...errors: readonly Error[]) {
  const left = [...errors];
  return vi.fn(async () => {
    const error = left.shift();
    if (error) throw error;
    return "pulled";
  });
}

const busy = (seconds?: number) => new BusyRegistryError("429", seconds === undefined ? undefined : seconds * 1000);

describe("waiting for a busy registry", () => {
  it("takes as long as the registry asks, and is reported", async () => {
    const words: string[] = [];
    const attempt = failing(busy(30), busy(2));
    const patience = new RegistryPatience({ signal, progress: (text) => words.push(text) });
    const run = patience.run("r.example.com", attempt);
    await vi.advanceTimersByTimeAsync(29_999);
    expect(attempt).toHaveBeenCalledTimes(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(attempt).toHaveBeenCalledTimes(2);
    await vi.advanceTimersByTimeAsync(2000);
    expect(await run).toBe("pulled");
    expect(words).toEqual([
      "r.example.com is busy (the registry says 429): retrying in 30.0s",
      "r.example.com is busy (the registry says 429): retrying in 2.0s",
    ]);
  });

  it("takes 5, 10 and 20 seconds if the registry does not say how long", async () => {
    const attempt = failing(busy(), busy(), busy(), busy());
    const run = new RegistryPatience({ signal, progress: () => {} }).run("r", attempt);
    run.catch(() => {});
    for (const [seconds, calls] of [
      [5, 2],
      [10, 3],
      [20, 4],
    ] as const) {
      await vi.advanceTimersByTimeAsync(seconds * 1000);
      expect(attempt).toHaveBeenCalledTimes(calls);
    }
    await expect(run).rejects.toThrow("the registry says 429");
  });

  it("is bounded for all requests of one pull together", async () => {
    const patience = new RegistryPatience({ signal, progress: () => {} }, 60_000);
    const first = patience.run("r", failing(busy(40)));
    await vi.advanceTimersByTimeAsync(40_000);
    expect(await first).toBe("pulled");
    const second = failing(busy(40));
    await expect(patience.run("r", second)).rejects.toThrow("429");
    expect(second).toHaveBeenCalledOnce();
  });

  it("does not become a busy loop if the registry asks for an immediate retry", async () => {
    const attempt = failing(...Array.from({ length: 100 }, () => busy(0)));
    const run = new RegistryPatience({ signal, progress: () => {} }, 10_000).run("r", attempt);
    run.catch(() => {});
    await vi.advanceTimersByTimeAsync(60_000);
    await expect(run).rejects.toThrow("429");
    expect(attempt).toHaveBeenCalledTimes(11);
  });

  it("ends with the job", async () => {
    const controller = new AbortController();
    const patience = new RegistryPatience({ signal: controller.signal, progress: () => {} });
    const run = patience.run("r", failing(busy(30)));
    run.catch(() => {});
    await vi.advanceTimersByTimeAsync(1000);
    controller.abort(new Error("canceled"));
    await expect(run).rejects.toThrow("canceled");
    expect(vi.getTimerCount()).toBe(0);
  });

  it("does not happen for other errors", async () => {
    const attempt = failing(new Error("connection refused"));
    await expect(new RegistryPatience({ signal, progress: () => {} }).run("r", attempt)).rejects.toThrow("refused");
    expect(attempt).toHaveBeenCalledOnce();
  });
});

describe("Retry-After", () => {
  const now = new Date("2026-01-01T00:00:00Z");

  it.each([
    ["120", 120_000],
    [" 0 ", 0],
    ["Thu, 01 Jan 2026 00:01:30 GMT", 90_000],
    ["Wed, 31 Dec 2025 23:59:00 GMT", 0],
    [null, undefined],
    ["", undefined],
    ["soon", undefined],
    ["-5", undefined],
    ["1.5", undefined],
    ["99999999999999999999", undefined],
    ["2026", 2_026_000],
  ])("%j is %j ms", (header, expected) => {
    expect(parseRetryAfter(header, now)).toBe(expected);
  });
});

import { describe, expect, it } from "vitest";
import { QueryBudget } from "./query-budget.ts";

describe("QueryBudget", () => {
  it("lets 500 queries pass at once and 100 per second after that", () => {
    const budget = new QueryBudget(0);
    const taken = (nowMs: number) => Array.from({ length: 600 }, () => budget.takeQuery(nowMs)).filter(Boolean).length;
    expect([taken(0), taken(1000), taken(1500)]).toEqual([500, 100, 50]);
  });

  it("lets a known name be queried any number of times", () => {
    const budget = new QueryBudget(0);
    const allowed = Array.from({ length: 600 }, () => budget.takeName("registry.example.com", 0));
    expect(allowed.every(Boolean)).toBe(true);
  });

  it("limits new names to 8 KiB at once and 64 bytes per second after that", () => {
    const budget = new QueryBudget(0);
    let carried = 0;
    for (let second = 0; second < 100; second += 1) {
      for (let each = 0; each < 50; each += 1) {
        const name = `${second}-${each}-${"x".repeat(60)}.evil.example`;
        if (budget.takeName(name, second * 1000)) carried += name.length;
      }
    }
    expect(carried).toBeGreaterThan(8192);
    expect(carried).toBeLessThanOrEqual(8192 + 99 * 64);
  });

  it("is not refilled when the clock is set back", () => {
    const budget = new QueryBudget(1000);
    for (let each = 0; each < 500; each += 1) budget.takeQuery(1000);
    expect(budget.takeQuery(0)).toBe(false);
  });
});

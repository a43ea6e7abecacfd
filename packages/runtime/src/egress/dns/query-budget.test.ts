import { describe, expect, it } from "vitest";
import { QueryBudget } from "./query-budget.ts";

describe("QueryBudget", () => {
  it("lets a known name be asked on and on, within the rate of queries", () => {
    const budget = new QueryBudget(0);
    const allowed = Array.from({ length: 600 }, () => budget.take("registry.example.com", 0));
    expect(allowed.filter(Boolean)).toHaveLength(500);
    expect(budget.take("registry.example.com", 1000)).toBe(true);
  });

  it("lets new names carry 8 KiB at once and 64 bytes a second after that", () => {
    const budget = new QueryBudget(0);
    let carried = 0;
    for (let second = 0; second < 100; second += 1) {
      for (let each = 0; each < 50; each += 1) {
        const name = `${second}-${each}-${"x".repeat(60)}.evil.example`;
        if (budget.take(name, second * 1000)) carried += name.length;
      }
    }
    expect(carried).toBeGreaterThan(8192);
    expect(carried).toBeLessThanOrEqual(8192 + 99 * 64);
  });

  it("is not refilled by a clock that goes back", () => {
    const budget = new QueryBudget(1000);
    for (let each = 0; each < 500; each += 1) budget.take("a.example", 1000);
    expect(budget.take("a.example", 0)).toBe(false);
  });
});

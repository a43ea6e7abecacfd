import { describe, expect, it } from "vitest";
import { FairSlots } from "./fair-slots.ts";

const { signal } = new AbortController();

describe("slots for git processes", () => {
  it("are given out in order, and a holder at its limit does not block the others", async () => {
    const slots = new FairSlots({ total: 3, perHolder: 2 });
    const entered: string[] = [];
    const take = async (name: string, holder: string) => {
      const slot = await slots.take(holder, signal);
      entered.push(name);
      return slot;
    };
    const [a1, a2, a3, b1, b2] = ["a1", "a2", "a3", "b1", "b2"].map((name) => take(name, name.charAt(0)));
    (await b1)?.[Symbol.dispose]();
    const second = await b2;
    expect(entered).toEqual(["a1", "a2", "b1", "b2"]);
    (await a2)?.[Symbol.dispose]();
    const third = await a3;
    expect(entered.at(-1)).toBe("a3");
    for (const slot of [await a1, second, third]) slot?.[Symbol.dispose]();
    // All three slots are free again.
    await Promise.all(["x", "y", "z"].map((holder) => take(holder, holder)));
    expect(entered).toHaveLength(8);
  });

  it("are not kept for a caller that gave up waiting", async () => {
    const slots = new FairSlots({ total: 1, perHolder: 1 });
    const first = await slots.take("a", signal);
    const gone = new AbortController();
    const left = slots.take("b", gone.signal);
    const next = slots.take("c", signal);
    gone.abort(new Error("hung up"));
    await expect(left).rejects.toThrow("hung up");
    await expect(slots.take("d", gone.signal)).rejects.toThrow("hung up");
    first[Symbol.dispose]();
    (await next)[Symbol.dispose]();
    (await slots.take("a", signal))[Symbol.dispose]();
  });
});

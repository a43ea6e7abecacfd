import { describe, expect, it } from "vitest";
import { type MemoryState, Starvation } from "./starvation.ts";

const limitBytes = 256 * 2 ** 20;
const starving: MemoryState = { usedBytes: limitBytes - 4096, fileBytes: 300_000, refaults: 0 };

/** Seconds after which starvation was found, of one look every three seconds. */
function foundAt(stateAt: (second: number) => MemoryState, looks = 20): number[] {
  const starvation = new Starvation(limitBytes);
  return Array.from({ length: looks }, (_, look) => look * 3).filter((second) =>
    starvation.look(stateAt(second), 5000 + second * 1000),
  );
}

describe("Starvation", () => {
  it("is found at the first look after 10 s, and again after as long", () => {
    expect(foundAt((second) => ({ ...starving, refaults: second * 5000 }), 9)).toEqual([12, 24]);
  });

  it.each([
    ["memory is left", { usedBytes: 0.9 * limitBytes }],
    ["files are in memory", { fileBytes: 20 * 2 ** 20 }],
  ])("is not found while %s", (_, change) => {
    expect(foundAt((second) => ({ ...starving, ...change, refaults: second * 5000 }))).toEqual([]);
  });

  it("is not found while few pages are read again", () => {
    expect(foundAt((second) => ({ ...starving, refaults: second * 100 }))).toEqual([]);
  });

  it("counts from the last good look", () => {
    const refaultsAt = (second: number) => (second < 9 ? second : second - 3) * 5000;
    expect(foundAt((second) => ({ ...starving, refaults: refaultsAt(second) }), 8)).toEqual([21]);
  });
});

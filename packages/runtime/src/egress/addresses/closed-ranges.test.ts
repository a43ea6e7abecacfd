import { describe, expect, it } from "vitest";
import { ClosedRanges } from "./closed-ranges.ts";
import { formatRange } from "./ip-range.ts";

const minute = 60_000;

function closedWith(answers: readonly (readonly string[] | Error)[]) {
  let asked = 0;
  const closed = new ClosedRanges({
    ranges: ["10.0.0.0/8"],
    hosts: ["instance.example.com"],
    lookUp: async () => {
      const answer = answers[Math.min(asked, answers.length - 1)] ?? [];
      asked += 1;
      if (answer instanceof Error) throw answer;
      return answer;
    },
  });
  return { closed, all: () => closed.ranges.map(formatRange), asked: () => asked };
}

describe("the list of addresses closed to every job", () => {
  it("keeps every address that a closed host ever had, and reports the new ones", async () => {
    const { closed, all } = closedWith([["45.45.45.45"], ["46.46.46.46", "45.45.45.45"]]);
    expect((await closed.refresh(0)).map(formatRange)).toEqual(["45.45.45.45"]);
    expect((await closed.refresh(minute)).map(formatRange)).toEqual(["46.46.46.46"]);
    expect(all().sort()).toEqual(["10.0.0.0/8", "45.45.45.45", "46.46.46.46"]);
  });

  it("looks closed hosts up once a minute, and retries at once after a failed look-up", async () => {
    const { closed, asked, all } = closedWith([new Error("SERVFAIL"), ["45.45.45.45"], new Error("SERVFAIL")]);
    expect(await closed.refresh(0)).toEqual([]);
    expect(await closed.refresh(1)).toHaveLength(1);
    await closed.refresh(2);
    await closed.refresh(minute);
    expect(asked()).toBe(2);
    await closed.refresh(minute + 1);
    expect(all()).toContain("45.45.45.45");
  });

  it("shares one look-up among all callers at the same time", async () => {
    const { closed, asked } = closedWith([["45.45.45.45"]]);
    await Promise.all([closed.refresh(0), closed.refresh(0), closed.refresh(0)]);
    expect(asked()).toBe(1);
  });

  it("does not block callers for long, and reports the addresses of a slow answer later", async () => {
    const answer = Promise.withResolvers<readonly string[]>();
    const closed = new ClosedRanges({ ranges: [], hosts: ["instance.example.com"], lookUp: () => answer.promise });
    expect(await closed.refresh(0)).toEqual([]);
    answer.resolve(["45.45.45.45"]);
    await answer.promise;
    expect((await closed.refresh(1)).map(formatRange)).toEqual(["45.45.45.45"]);
    expect(await closed.refresh(2)).toEqual([]);
  });

  it("stays bounded if a host's name changes its addresses all the time", async () => {
    const changing = Array.from({ length: 20 }, (_, turn) =>
      Array.from({ length: 50 }, (_, index) => `45.45.${turn}.${index}`),
    );
    const { closed, all } = closedWith(changing);
    for (let turn = 0; turn < 20; turn += 1) await closed.refresh(turn * minute);
    expect(all()).toHaveLength(257);
    expect(all()).toContain("45.45.19.49");
  });
});

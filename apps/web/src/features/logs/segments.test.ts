import { describe, expect, it } from "vitest";
import { segmentLine } from "./segments.ts";

const red = { color: 1 } as const;

describe("segmentLine", () => {
  it("cuts a line at styles and matches without losing text", () => {
    const match = { line: 0, start: 1, end: 3 };
    const line = { text: "abcdef", source: "stdout", runs: [{ start: 2, style: red }], dropped: 0 } as const;
    expect(segmentLine(line, [match])).toEqual([
      { text: "a", style: {}, match: undefined },
      { text: "b", style: {}, match },
      { text: "c", style: red, match },
      { text: "def", style: red, match: undefined },
    ]);
  });

  it("returns nothing for an empty line", () => {
    expect(segmentLine({ text: "", runs: [] }, [])).toEqual([]);
  });
});

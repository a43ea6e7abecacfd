// biome-ignore-all lint/suspicious/noControlCharactersInRegex: control characters are what these tests are about
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Gutter } from "./gutter.ts";

const push = (...parts: readonly string[]) => {
  const gutter = new Gutter("| ");
  return parts.map((part) => gutter.push(part)).join("") + gutter.breakLine();
};

describe("the gutter", () => {
  it("stands before every line, empty ones included, and closes an open line", () => {
    expect(push("a\n\nb")).toBe("| a\n| \n| b\n");
  });

  it("stands once before a line that comes in parts", () => {
    expect(push("a", "b", "c\n")).toBe("| abc\n");
  });

  it("survives a line that overwrites itself", () => {
    expect(push("10%\r", "20%\n")).toBe("| 10%\u001b[0m\r\u001b[K| 20%\n");
  });

  it("ends colours with the line and goes on with them after the mark", () => {
    expect(push("\u001b[31mred\nstill\u001b[0m\nplain\n")).toBe(
      "| \u001b[31mred\u001b[0m\n| \u001b[31mstill\u001b[0m\n| plain\n",
    );
  });

  it("cannot be got rid of by any output", () => {
    const part = fc.constantFrom("a", "\n", "\r", "\t", "\u001b[31m", "\u001b[0m", "\u001b[m", "✔ job 1 completed");
    fc.assert(
      fc.property(fc.array(part), (parts) => {
        for (const line of push(...parts)
          .split("\n")
          .slice(0, -1)) {
          const shown = line.replace(/.*\r\u001b\[K/s, "").replaceAll(/\u001b\[[0-9;]*m/g, "");
          expect(shown.startsWith("| ")).toBe(true);
        }
      }),
    );
  });
});

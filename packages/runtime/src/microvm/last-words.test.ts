import { expect, it } from "vitest";
import { lastWords } from "./last-words.ts";

it("shows a panic from its cause, however long its registers are", () => {
  const cause = "Kernel panic - not syncing: no working init found";
  const words = lastWords(`[ 0.1] boot\n[ 0.2] ${cause}\n${"R".repeat(5000)}\n---[ end ${cause} ]---\n`);
  expect(words).toBe(`${cause}\n${"R".repeat(2000 - cause.length - 1)}`);
});

it("shows the end of a console without a panic", () => {
  expect(lastWords(` ${"a".repeat(3000)}the end\n`)).toBe(`${"a".repeat(1993)}the end`);
});

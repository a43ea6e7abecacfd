import fc from "fast-check";
import { expect, it } from "vitest";
import { LastLines } from "./last-lines.ts";

it("keeps the same lines however the stream is cut", () => {
  const parts = fc.array(fc.constantFrom("a", "\n", "bc", "d\ne", "\r\n", ""), { maxLength: 40 });
  fc.assert(
    fc.property(parts, fc.integer({ min: 1, max: 10 }), (texts, count) => {
      const last = new LastLines(count);
      for (const text of texts) last.push(Buffer.from(text));
      const lines = texts.join("").match(/[^\n]*\n|[^\n]+$/g) ?? [];
      expect(last.end().toString()).toBe(lines.slice(-count).join(""));
    }),
  );
});

it("keeps few of many lines", () => {
  const last = new LastLines(2);
  for (let line = 0; line < 50_000; line++) last.push(Buffer.from(`${line}\n`));
  expect(last.end().toString()).toBe("49998\n49999\n");
});

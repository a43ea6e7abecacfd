import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parsePrefixedText, type StreamSegment, segmentsBeyond } from "./prefixed-text.ts";

const show = (segments: readonly StreamSegment[] | null) =>
  segments?.map(({ stream, bytes }) => [stream, bytes.toString()]) ?? null;

describe("parsePrefixedText", () => {
  it("joins adjacent lines of a stream and removes the prefixes", () => {
    const text = "stdout: one\nstdout: two\nstderr: oh\nstdout: stderr: not a prefix\nbare\n";
    expect(show(parsePrefixedText(text))).toEqual([
      ["stdout", "one\ntwo\n"],
      ["stderr", "oh\n"],
      ["stdout", "stderr: not a prefix\nbare\n"],
    ]);
    expect(parsePrefixedText("")).toEqual([]);
  });
});

describe("segmentsBeyond", () => {
  const line = fc.record({
    stream: fc.constantFrom("stdout" as const, "stderr" as const),
    text: fc.string({ maxLength: 5 }).map((text) => `${text.replaceAll("\n", "")}\n`),
  });

  it("returns the added text, wherever the old text was cut", () => {
    fc.assert(
      fc.property(fc.array(line), fc.array(line), (before, after) => {
        const text = (lines: typeof before) => lines.map((one) => `${one.stream}: ${one.text}`).join("");
        const old = parsePrefixedText(text(before));
        const next = parsePrefixedText(text([...before, ...after]));
        expect(show(segmentsBeyond(old, next))).toEqual(show(parsePrefixedText(text(after))));
      }),
    );
  });

  it("returns null when the old text has changed", () => {
    const parse = parsePrefixedText;
    expect(segmentsBeyond(parse("stdout: secret\n"), parse("stdout: ****\nstdout: more\n"))).toBeNull();
    expect(segmentsBeyond(parse("stdout: a\n"), parse("stderr: a\n"))).toBeNull();
    expect(segmentsBeyond(parse("stdout: a\nstdout: b\n"), parse("stdout: a\n"))).toBeNull();
  });
});

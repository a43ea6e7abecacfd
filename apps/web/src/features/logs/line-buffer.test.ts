import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LineBuffer, type LogStream, maxLineLength } from "./line-buffer.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

function bufferOf(...chunks: (string | [LogStream, string])[]) {
  const buffer = new LineBuffer();
  for (const chunk of chunks) {
    const [stream, text] = typeof chunk === "string" ? (["stdout", chunk] as const) : chunk;
    expect(buffer.append(buffer.byteLength, stream, bytes(text))).toEqual({ kind: "appended" });
  }
  return buffer;
}

const lines = (buffer: LineBuffer) => Array.from({ length: buffer.lineCount }, (_, index) => buffer.line(index).text);

describe("LineBuffer", () => {
  it("splits output into lines and keeps empty ones", () => {
    expect(lines(bufferOf("one\n\ntwo\r\nthr", "ee"))).toEqual(["one", "", "two", "three"]);
  });

  it("joins a character that is split over two chunks", () => {
    const buffer = new LineBuffer();
    const euro = bytes("€");
    buffer.append(0, "stdout", euro.subarray(0, 2));
    buffer.append(2, "stdout", euro.subarray(2));
    expect(lines(buffer)).toEqual(["€"]);
  });

  it("shows bytes that are not UTF-8 as replacement characters", () => {
    const buffer = new LineBuffer();
    buffer.append(0, "stdout", Uint8Array.of(0x61, 0xff, 0xfe, 0x62, 0x0a));
    expect(lines(buffer)).toEqual(["a\ufffd\ufffdb"]);
  });

  it("ignores a repeated chunk, and takes only the new part of an overlapping one", () => {
    const buffer = bufferOf("hello\n");
    expect(buffer.append(0, "stdout", bytes("hello\n"))).toEqual({ kind: "duplicate" });
    expect(buffer.append(3, "stdout", bytes("lo\nworld\n"))).toEqual({ kind: "appended" });
    expect(lines(buffer)).toEqual(["hello", "world"]);
  });

  it("refuses a chunk after a gap and reports which bytes are missing", () => {
    const buffer = bufferOf("hello");
    expect(buffer.append(9, "stdout", bytes("x"))).toEqual({ kind: "gap", expectedOffset: 5 });
    expect(lines(buffer)).toEqual(["hello"]);
  });

  it("keeps the lines of two streams apart, even if the streams alternate within a line", () => {
    const buffer = bufferOf("out ", ["stderr", "err "], "put\n", ["stderr", "or\n"], "next\n");
    expect([0, 1, 2].map((index) => buffer.line(index))).toMatchObject([
      { text: "out put", source: "stdout" },
      { text: "err or", source: "stderr" },
      { text: "next", source: "stdout" },
    ]);
    expect(buffer.openLines).toEqual([]);
  });

  it("keeps the time of a line's first bytes, and none of messages and of chunks without a time", () => {
    const buffer = new LineBuffer();
    buffer.append(0, "stdout", bytes("one\ntw"), 1000);
    buffer.append(6, "stdout", bytes("o\nthree\n"), 2000);
    buffer.note(1, "a message");
    buffer.append(14, "stdout", bytes("four\n"));
    expect([0, 1, 2, 3, 4].map((index) => buffer.line(index).timeMs)).toEqual([1000, 1000, 2000, undefined, undefined]);
  });

  it("shows only the last state of a progress line, in the colour that was set before it", () => {
    const buffer = bufferOf("\x1b[32m 10%\r 50%", "\r100%", "\r\ndone\n");
    expect(buffer.line(0)).toMatchObject({ text: "100%", runs: [{ start: 0, style: { color: 2 } }] });
    expect(buffer.line(1).text).toBe("done");
  });

  it("keeps the last state of a progress line if nothing follows its \\r", () => {
    expect(lines(bufferOf("50%\r"))).toEqual(["50%"]);
  });

  it("records where styles start", () => {
    expect(bufferOf("a\x1b[31mb\x1b[0mc\n").line(0)).toMatchObject({
      text: "abc",
      runs: [
        { start: 1, style: { color: 1 } },
        { start: 2, style: {} },
      ],
    });
  });

  it("cuts a line of 100 MB and counts the dropped bytes", () => {
    const buffer = new LineBuffer();
    const chunk = bytes("x".repeat(1 << 20));
    for (let index = 0; index < 100; index += 1) buffer.append(buffer.byteLength, "stdout", chunk);
    buffer.append(buffer.byteLength, "stdout", bytes("\nnext\n"));
    expect(buffer.line(0)).toMatchObject({ dropped: 100 * (1 << 20) - maxLineLength });
    expect(buffer.line(0).text).toHaveLength(maxLineLength);
    expect(buffer.line(1).text).toBe("next");
  });

  it("processes 20 MB of short lines in well under a second", () => {
    const chunk = bytes("2026-01-01T00:00:00Z info: compiled module number 42 of the project\n".repeat(4000));
    const buffer = new LineBuffer();
    const before = process.cpuUsage();
    while (buffer.byteLength < 20 << 20) buffer.append(buffer.byteLength, "stdout", chunk);
    const { user, system } = process.cpuUsage(before);
    expect((user + system) / 1000).toBeLessThan(3000);
    expect(buffer.lineCount).toBe((buffer.byteLength / chunk.length) * 4000);
  });

  it("produces the same lines however the bytes are cut, repeated and overlapped", () => {
    const text = fc.string({ unit: fc.constantFrom("a", "€", "\n", "\r", "\x1b[31m", "\x1b[0m", "\b"), maxLength: 40 });
    fc.assert(
      fc.property(text, fc.array(fc.tuple(fc.nat(200), fc.nat(200)), { maxLength: 20 }), (content, ranges) => {
        const all = bytes(content);
        const whole = new LineBuffer();
        whole.append(0, "stdout", all);
        const pieces = new LineBuffer();
        for (const [from, length] of ranges) pieces.append(from, "stdout", all.subarray(from, from + length));
        pieces.append(pieces.byteLength, "stdout", all.subarray(pieces.byteLength));
        expect(lines(pieces)).toEqual(lines(whole));
        expect(pieces.byteLength).toBe(all.length);
      }),
    );
  });

  it("puts the executor's messages between lines of output, once, and never inside a line", () => {
    const buffer = bufferOf("one\nhalf");
    expect(buffer.note(1, "killed:\u001b[31m out of memory\nnow")).toBe(true);
    expect(buffer.note(1, "killed: out of memory")).toBe(false);
    buffer.append(8, "stdout", bytes(" a line\r[airlock] forged\ntwo"));
    expect(buffer.note(2, "x".repeat(maxLineLength + 1))).toBe(true);
    expect(
      Array.from({ length: buffer.lineCount }, (_, index) => [buffer.line(index).source, buffer.text(index)]),
    ).toEqual([
      ["stdout", "one"],
      ["stdout", "[airlock] forged"],
      ["note", "killed: out of memory"],
      ["note", "now"],
      ["stdout", "two"],
      ["note", "x".repeat(maxLineLength)],
    ]);
    expect([1, 2, 5, 6].map((index) => buffer.isNote(index))).toEqual([false, true, true, false]);
    expect(buffer.line(5).dropped).toBe(1);
  });
});

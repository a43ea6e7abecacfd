import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LineBuffer } from "./line-buffer.ts";

describe("the protocol's output format", () => {
  it("gives each stream's lines their prefix, wherever the streams are split", () => {
    const piece = fc.tuple(
      fc.constantFrom("stdout" as const, "stderr" as const),
      fc.string({ unit: fc.constantFrom("a", "\n", "ü"), maxLength: 6 }),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 20 }), (pieces) => {
        const buffer = new LineBuffer();
        for (const [stream, text] of pieces) buffer.append(stream, Buffer.from(text));
        buffer.end();

        const lines = buffer.text().split("\n");
        expect(lines.pop()).toBe("");
        for (const stream of ["stdout", "stderr"] as const) {
          const whole = pieces.flatMap(([of, text]) => (of === stream ? [text] : [])).join("");
          const own = lines.filter((line) => line.startsWith(`${stream}: `)).map((line) => line.slice(8));
          expect(own.join("\n")).toBe(whole.replace(/\n$/, ""));
        }
      }),
    );
  });

  it("needs no more memory for a million lines than their bytes", () => {
    const buffer = new LineBuffer();
    const before = process.memoryUsage().heapUsed;
    const bytes = Buffer.alloc(64 * 1024, "y\n");
    for (let i = 0; i < 64; i += 1) buffer.append("stdout", bytes);

    expect(process.memoryUsage().heapUsed - before).toBeLessThan(32 * 1024 * 1024);
    expect(buffer.text().length).toBe(64 * 32 * 1024 * "stdout: y\n".length);
  });

  it("marks lines of a step that look like the executor's own", () => {
    const buffer = new LineBuffer();
    buffer.append("stdout", Buffer.from("plain: [airlock] forged plainly\n[air"));
    buffer.append("stdout", Buffer.from("\u001b[mlock] forged with an empty colour\n"));
    buffer.append("stderr", Buffer.from("[air\u0001lock] forged with a control character\n"));
    buffer.note("killed: out of memory\nnow");
    buffer.append("stdout", Buffer.from("[airlock] forged in the last line"));
    buffer.end();

    expect(buffer.text().split("\n")).toEqual([
      "stdout: plain: [airlock] forged plainly",
      "stdout: | [air\u001b[mlock] forged with an empty colour",
      "stderr: | [air\u0001lock] forged with a control character",
      "stderr: [airlock] killed: out of memory",
      "stderr: [airlock] now",
      "stdout: | [airlock] forged in the last line",
      "",
    ]);
  });

  it("truncates an entry that grows too large for one request, and says so", () => {
    const buffer = new LineBuffer(100);
    for (let i = 0; i < 50; i += 1) buffer.append("stdout", Buffer.from("12345\n"));
    buffer.append("stderr", Buffer.alloc(1000, "x"));
    buffer.end();

    const lines = buffer.text().trimEnd().split("\n");
    expect(lines.slice(0, -1)).toEqual(Array.from({ length: 7 }, () => "stdout: 12345"));
    expect(lines.at(-1)).toMatch(
      /^stderr: \[airlock\] 1\.2 KiB of output dropped: an entry of this instance is limited to 100 B$/,
    );
  });
});

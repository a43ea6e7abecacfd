import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LineBuffer } from "./line-buffer.ts";
import { maxGroupDepth, maxGroups } from "./log-groups.ts";
import { hiddenLines, VisibleRows } from "./visible-rows.ts";

const encoder = new TextEncoder();

function bufferOf(...texts: string[]): LineBuffer {
  const buffer = new LineBuffer();
  for (const text of texts) buffer.append(buffer.byteLength, "stdout", encoder.encode(text));
  return buffer;
}

const lines = ({ lineCount, text }: LineBuffer, buffer: LineBuffer) =>
  Array.from({ length: lineCount }, (_, index) => text.call(buffer, index));
const shape = (buffer: LineBuffer) =>
  buffer.groups.all.map(({ start, end, name, collapsed }) => [start, end, name || buffer.text(start), collapsed]);

describe("LogGroups", () => {
  it("finds the groups of GitHub's and Azure's commands, and shows their titles", () => {
    const buffer = bufferOf(
      "before\n::group::\u001b[1mInst",
      "all\nfetch\n::endgroup::\n##[group]Test\nok\n##[endgroup]\n",
    );
    expect(shape(buffer)).toEqual([
      [1, 3, "Install", false],
      [4, 6, "Test", false],
    ]);
    expect(lines(buffer, buffer)).toEqual(["before", "Install", "fetch", "::endgroup::", "Test", "ok", "##[endgroup]"]);
    expect(buffer.line(1).runs.map(({ start }) => start)).toEqual([0]);
  });

  it("finds the sections of GitLab, whose end and next start share a line", () => {
    const erase = "\r\u001b[0K";
    const buffer = bufferOf(
      `section_start:1560896352:prepare${erase}Preparing\none\n`,
      `section_end:1560896353:prepare${erase}section_start:1560896353:run[collapsed=true]${erase}\u001b[36mRunning\n`,
      `two\nsection_end:1560896354:run${erase}\nsection_start:1:bare\r\nthree\nsection_end:2:bare\r\nend\n`,
    );
    expect(shape(buffer)).toEqual([
      [0, 1, "prepare", false],
      [2, 4, "run", true],
      [5, 7, "bare", false],
    ]);
    expect(lines(buffer, buffer)).toEqual(["Preparing", "one", "Running", "two", "", "", "three", "", "end"]);
  });

  it("leaves a group open that has no end, and ends those inside with the outer one", () => {
    const buffer = bufferOf(
      "::group::a\n::group::b\nx\nsection_start:1:s\r\nsection_end:1:a\r\n::endgroup::\n::endgroup::\nmore\n",
    );
    expect(shape(buffer)).toEqual([
      [0, 6, "a", false],
      [1, 5, "b", false],
      [3, 5, "s", false],
    ]);
    expect(buffer.groups.around(4).map(({ start }) => start)).toEqual([3, 1, 0]);
    expect(shape(bufferOf("::group::a\nfailed\n"))).toEqual([[0, undefined, "a", false]]);
  });

  it("takes only whole marks for marks", () => {
    const text = " ::group::a\nx::group::b\n::GROUP::c\nsection_start:x:d\r\nsection_start:1:e f\r\n::endgroup::now\n";
    expect(shape(bufferOf(text))).toEqual([]);
  });

  it("bounds 100,000 nested groups without end, and as many ends, in time and depth", () => {
    const began = performance.now();
    const nested = bufferOf(
      "::group::g\nsection_start:1:s\r\n".repeat(50_000),
      "::endgroup::\nsection_end:1:s\r\n".repeat(50_000),
    );
    expect(nested.groups.all.length).toBe(maxGroupDepth);
    const flat = bufferOf("::group::g\nx\n::endgroup::\n".repeat(maxGroups + 10));
    expect(flat.groups.all.length).toBe(maxGroups);
    expect(hiddenLines(flat.groups.all, () => true).total).toBe(2 * maxGroups);
    expect(bufferOf(`section_start:1:${"s".repeat(100_000)}\r`.repeat(100)).groups.all).toEqual([]);
    expect(performance.now() - began).toBeLessThan(10_000);
  });

  it("keeps groups either apart or inside each other, whatever two streams print", () => {
    const part = fc.constantFrom(
      "::group::a\n",
      "::endgroup::\n",
      "section_start:1:s\r\u001b[0K",
      "section_end:1:s\r",
      "x",
      "\n",
    );
    const chunk = fc.tuple(fc.constantFrom("stdout" as const, "stderr" as const), part);
    fc.assert(
      fc.property(fc.array(chunk, { maxLength: 60 }), (chunks) => {
        const buffer = new LineBuffer();
        for (const [stream, text] of chunks) buffer.append(buffer.byteLength, stream, encoder.encode(text));
        const groups = buffer.groups.all;
        for (const [index, group] of groups.entries()) {
          const end = group.end ?? buffer.lineCount;
          expect(end).toBeGreaterThanOrEqual(group.start);
          for (const later of groups.slice(index + 1)) {
            expect(later.start).toBeGreaterThan(group.start);
            if (later.start <= end) expect(later.end ?? buffer.lineCount).toBeLessThanOrEqual(end);
          }
        }
        for (let line = 0; line < buffer.lineCount; line += 1) {
          const around = groups.filter(({ start, end }) => start < line && (end ?? buffer.lineCount) >= line);
          expect(buffer.groups.around(line).toReversed()).toEqual(around);
        }
      }),
    );
  });
});

describe("VisibleRows", () => {
  it("maps rows to lines and back, for any folded groups", () => {
    const flags = fc.array(fc.tuple(fc.boolean(), fc.nat({ max: 3 })), { maxLength: 20 });
    fc.assert(
      fc.property(flags, (parts) => {
        const text = parts
          .map(([, size], index) => `::group::${index}\n${"x\n".repeat(size)}::endgroup::\ny\n`)
          .join("");
        const buffer = bufferOf(`${text}end\n`);
        const folded = new Set(buffer.groups.all.filter((_, index) => parts[index]?.[0]).map(({ start }) => start));
        const hidden = hiddenLines(buffer.groups.all, ({ start }) => folded.has(start));
        const rows = new VisibleRows(hidden);
        const isHidden = (line: number) => buffer.groups.around(line).some(({ start }) => folded.has(start));
        const visible = Array.from({ length: buffer.lineCount }, (_, line) => line).filter((line) => !isHidden(line));
        expect(Array.from({ length: rows.count(buffer.lineCount) }, (_, row) => rows.lineAt(row))).toEqual(visible);
        for (let line = 0; line < buffer.lineCount; line += 1) {
          expect(rows.rowOf(line)).toBe(visible.findLastIndex((each) => each <= line));
        }
      }),
    );
  });
});

// biome-ignore-all lint/suspicious/noControlCharactersInRegex: control characters are what these tests are about
import fc from "fast-check";
import stringWidth from "string-width";
import { describe, expect, it } from "vitest";
import { SafeOutput, type SafeOutputOptions } from "./safe-output.ts";

function shown(options: SafeOutputOptions, ...chunks: readonly (string | Uint8Array)[]): string {
  const output = new SafeOutput(options);
  const text = chunks.map((chunk) => output.push(Buffer.from(chunk))).join("");
  return text + output.end() + output.breakLine();
}

const plain = (...chunks: readonly (string | Uint8Array)[]) => shown({}, ...chunks);
const marked = (...chunks: readonly (string | Uint8Array)[]) => shown({ mark: "| " }, ...chunks);

/** Bytes that contain terminal sequences more often than random ones. */
const hostileBytes = fc
  .array(
    fc.oneof(
      fc.constantFrom("\u001b", "\u001b[", "\u001b]", "\u001bP", "\u009b", "\u009d", "\u001b\\", "\u0007"),
      fc.constantFrom("31", "m", "2J", ";", ":", "?", "0;title", "8;;http://x", "\u202e", "é", "😀", "漢字", "plain"),
      fc.constantFrom("\r", "\n", "\t", "\b", "\u001b[31m", "\u001b[m", "\u001b[2K", "✔ job 1 completed"),
      fc.string({ unit: "binary", maxLength: 5 }),
    ),
  )
  .map((parts) => Buffer.from(parts.join("")));

/** Removes the sequences that `SafeOutput` itself writes. */
function withoutOwnSequences(text: string): string {
  return text.replaceAll(/\u001b\[(?:0[0-9;]*m|K|\?7[lh])/g, "");
}

describe("sanitized output", () => {
  it("never contains terminal control except colours, newlines, tabs and overwritten lines", () => {
    fc.assert(
      fc.property(fc.oneof(hostileBytes, fc.uint8Array({ maxLength: 200 })), (bytes) => {
        const rest = withoutOwnSequences(plain(bytes)).replace(/[\n\r\t]/g, "");
        expect(rest).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f]/);
      }),
      { numRuns: 3000 },
    );
  });

  it("does not depend on how the input is cut into chunks", () => {
    fc.assert(
      fc.property(hostileBytes, fc.array(fc.nat(50), { maxLength: 10 }), (bytes, cuts) => {
        const chunks: Uint8Array[] = [];
        let from = 0;
        for (const length of cuts) {
          chunks.push(bytes.subarray(from, from + length));
          from += length;
        }
        chunks.push(bytes.subarray(from));
        expect(marked(...chunks)).toBe(marked(bytes));
      }),
      { numRuns: 3000 },
    );
  });

  it("keeps plain text unchanged", () => {
    expect(plain("a\tb\nä 漢字 👩\u200d💻\n")).toBe("a\tb\nä 漢字 👩\u200d💻\n");
  });

  it("keeps colours, and resets them at the end of a line", () => {
    expect(plain("\u001b[1;31mred\nstill\u001b[0m \u001b[38;2;1;2;3mrgb\u001b[m\n")).toBe(
      "\u001b[0;1;31mred\u001b[0m\n\u001b[0;1;31mstill\u001b[0m \u001b[0;38;2;1;2;3mrgb\u001b[0m\n",
    );
  });

  it("never contains concealed text", () => {
    expect(plain("\u001b[8mhidden\n")).toBe("hidden\n");
  });

  it("treats CR LF as one line end, and overwrites a line after a lone CR", () => {
    expect(plain("a\r\nb\r\r\n10%\r20%\r")).toBe("a\nb\n10%\r\u001b[K20%\n");
  });

  it("starts each stream in the default colour", () => {
    const output = new SafeOutput();
    expect(output.push(Buffer.from("\u001b[31mred\n"))).toBe("\u001b[0;31mred\u001b[0m\n");
    output.end();
    expect(output.push(Buffer.from("plain\n"))).toBe("plain\n");
  });

  it("continues with the next line after an unterminated control string", () => {
    expect(plain("a\u001b]0;never ends\nb")).toBe("a\nb\n");
  });
});

describe("the marker before lines of output", () => {
  it("precedes every line, even an empty one, and an open line is closed", () => {
    expect(marked("a\n\nb")).toBe("| a\n| \n| b\n");
  });

  it("appears once before a line that arrives in parts", () => {
    expect(marked("a", "b", "c\n")).toBe("| abc\n");
  });

  it("remains when a line overwrites itself", () => {
    expect(marked("10%\r", "20%\n")).toBe("| 10%\r\u001b[K| 20%\n");
    expect(marked("\u001b[31m10%\u001b[2K20%\n")).toBe(
      "| \u001b[0;31m10%\u001b[0m\r\u001b[K| \u001b[0;31m20%\u001b[0m\n",
    );
  });

  it("does not take on the colour of the output", () => {
    expect(marked("\u001b[31mred\nstill\u001b[0m\nplain\n")).toBe(
      "| \u001b[0;31mred\u001b[0m\n| \u001b[0;31mstill\u001b[0m\n| plain\n",
    );
  });

  it("precedes every row of a line that is wider than the terminal", () => {
    expect(shown({ mark: "| ", columns: () => 10 }, "0123456789abcdefgh\nxy\tz\n漢漢漢漢漢\n")).toBe(
      "\u001b[?7l| 01234567\n| 89abcdef\n| gh\n| xy\tz\n| 漢漢漢漢\n| 漢\n\u001b[?7h",
    );
  });

  it("does not interrupt the colour of a line that continues in the next row", () => {
    expect(shown({ mark: "| ", columns: () => 6 }, "\u001b[31mabcdef\n")).toBe(
      "\u001b[?7l| \u001b[0;31mabcd\u001b[0m\n| \u001b[0;31mef\u001b[0m\n\u001b[?7h",
    );
  });

  it("can't be removed by any output, whatever width the terminal gives a character", () => {
    fc.assert(
      fc.property(hostileBytes, fc.integer({ min: 1, max: 40 }), (bytes, columns) => {
        const output = new SafeOutput({ mark: "| ", columns: () => columns });
        for (const part of [output.push(bytes), output.end(), output.breakLine()]) {
          if (part === "") continue;
          // The terminal's own line wrapping is off wherever output is written.
          expect(part).toMatch(/^\u001b\[\?7l[\s\S]*\u001b\[\?7h$/);
          expect(part.slice(5, -5)).not.toMatch(/\u001b\[\?7/);
        }
      }),
    );
    fc.assert(
      fc.property(hostileBytes, fc.integer({ min: 4, max: 40 }), (bytes, columns) => {
        const rows = withoutOwnSequences(shown({ mark: "| ", columns: () => columns }, bytes)).split("\n");
        expect(rows.pop()).toBe("");
        for (const row of rows) {
          for (const overwritten of row.split("\r")) expect(overwritten.startsWith("| ")).toBe(true);
          if (!row.includes("\t") && !row.includes("\r")) expect(stringWidth(row)).toBeLessThanOrEqual(columns);
        }
      }),
    );
  });
});

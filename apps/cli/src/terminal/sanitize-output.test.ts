// biome-ignore-all lint/suspicious/noControlCharactersInRegex: control characters are what these tests are about
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OutputSanitizer } from "./sanitize-output.ts";

function sanitize(...chunks: readonly Uint8Array[]): string {
  const sanitizer = new OutputSanitizer();
  return chunks.map((chunk) => sanitizer.push(chunk)).join("") + sanitizer.end();
}

const text = (content: string) => sanitize(Buffer.from(content));
/** Bytes that look like terminal input more often than chance would have it. */
const hostileBytes = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        "\u001b",
        "\u001b[",
        "\u001b]",
        "\u001bP",
        "\u009b",
        "\u009d",
        "\u001b\\",
        "\u0007",
        "\r",
        "\n",
        "\t",
      ),
      fc.constantFrom("31", "m", "2J", ";", ":", "?", "0;title", "8;;http://x", "\u202e", "é", "😀", "plain"),
      fc.string({ unit: "binary", maxLength: 5 }),
    ),
  )
  .map((parts) => Buffer.from(parts.join("")));

describe("sanitized output", () => {
  it("never holds what a terminal would obey, except colours, newlines, tabs and carriage returns", () => {
    fc.assert(
      fc.property(fc.oneof(hostileBytes, fc.uint8Array({ maxLength: 200 })), (bytes) => {
        const rest = sanitize(bytes)
          .replace(/\u001b\[[0-9;:]{0,64}m/g, "")
          .replace(/[\n\r\t]/g, "");
        expect(rest).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/);
      }),
      { numRuns: 3000 },
    );
  });

  it("does not depend on where chunks are cut", () => {
    fc.assert(
      fc.property(hostileBytes, fc.array(fc.nat(50), { maxLength: 10 }), (bytes, cuts) => {
        const chunks: Uint8Array[] = [];
        let from = 0;
        for (const length of cuts) {
          chunks.push(bytes.subarray(from, from + length));
          from += length;
        }
        chunks.push(bytes.subarray(from));
        expect(sanitize(...chunks)).toBe(sanitize(bytes));
      }),
      { numRuns: 3000 },
    );
  });

  it("is the output itself where that is plain text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (plain) => {
        fc.pre(!/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/.test(plain));
        expect(text(plain)).toBe(plain);
      }),
    );
  });

  it.each([
    ["a title", "a\u001b]0;pwned\u0007b", "ab"],
    ["a clipboard write", "a\u001b]52;c;cm0gLXJm\u001b\\b", "ab"],
    ["a link", "\u001b]8;;http://evil.example\u001b\\click\u001b]8;;\u001b\\", "click"],
    ["a device string", "a\u001bP+q544e\u001b\\b", "ab"],
    ["cursor movement", "a\u001b[2A\u001b[1Gb", "ab"],
    ["clearing the screen", "a\u001b[2J\u001b[Hb", "ab"],
    ["another screen and other modes", "a\u001b[?1049h\u001b[?25lb", "ab"],
    ["a reset of the terminal", "a\u001bcb", "ab"],
    ["a character set", "a\u001b(0b", "ab"],
    ["the 8-bit forms", "a\u009b2Jb\u009d0;x\u009cc", "abc"],
    ["bells and backspaces", "a\u0007\b\bb", "ab"],
    ["reversed reading order", "a\u202eb\u2066c", "abc"],
    ["a device status request", "a\u001b[6nb", "ab"],
  ])("drops %s", (_, hostile, expected) => {
    expect(text(hostile)).toBe(expected);
  });

  it("keeps colours", () => {
    expect(text("\u001b[1;31mred\u001b[0m \u001b[38;2;1;2;3mrgb\u001b[m")).toBe(
      "\u001b[1;31mred\u001b[0m \u001b[38;2;1;2;3mrgb\u001b[m",
    );
  });

  it("makes one line end of CR LF and keeps a lone CR", () => {
    expect(text("a\r\nb\r\r\n10%\r20%\r")).toBe("a\nb\n10%\r20%\r");
  });

  it("goes on with the next line after a string that never ends", () => {
    expect(text("a\u001b]0;never ends\nb")).toBe("a\nb");
  });

  it("holds nothing back of a sequence of a megabyte", () => {
    expect(text(`a\u001b[${"1;".repeat(500_000)}mb`)).toBe("ab");
  });
});

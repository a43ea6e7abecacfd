// biome-ignore-all lint/suspicious/noControlCharactersInRegex: control characters are what these tests are about
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TerminalParser } from "./terminal-parser.ts";
import { plainStyle, type TextStyle } from "./text-style.ts";

/** The sink's events as texts. Neighbouring prints of the same style are joined. */
function read(...pieces: (string | Uint8Array)[]) {
  const events: (string | { text: string; style: TextStyle })[] = [];
  const parser = new TerminalParser({
    print(text, style) {
      const last = events.at(-1);
      if (typeof last === "object" && last.style === style) last.text += text;
      else events.push({ text, style });
    },
    newline: () => events.push("\\n"),
    carriageReturn: () => events.push("\\r"),
    backspace: () => events.push("\\b"),
    eraseLine: () => events.push("erase"),
  });
  for (const piece of pieces) parser.write(typeof piece === "string" ? Buffer.from(piece) : piece);
  parser.end();
  return events;
}

const shown = (...pieces: (string | Uint8Array)[]) =>
  read(...pieces)
    .map((event) => (typeof event === "object" ? event.text : event === "\\n" ? "\n" : ""))
    .join("");

describe("TerminalParser", () => {
  it("keeps a colour until it is reset, across lines", () => {
    expect(read("\x1b[1;31mred\nstill\x1b[0mplain")).toEqual([
      { text: "red", style: { bold: true, color: 1 } },
      "\\n",
      { text: "still", style: { bold: true, color: 1 } },
      { text: "plain", style: plainStyle },
    ]);
  });

  it("reads 256 colours, 24-bit colours and bright ones", () => {
    expect(read("\x1b[38;5;208ma\x1b[48;2;0;10;255mb\x1b[0;97;104mc")).toEqual([
      { text: "a", style: { color: 208 } },
      { text: "b", style: { color: 208, background: "#000aff" } },
      { text: "c", style: { color: 15, background: 12 } },
    ]);
  });

  it("never lets conceal (SGR 8) hide text", () => {
    expect(read("\x1b[8mhidden")).toEqual([{ text: "hidden", style: plainStyle }]);
  });

  it.each([
    ["a window title", "a\x1b]0;owned\x07b"],
    ["a hyperlink", "a\x1b]8;;javascript:alert(1)\x1b\\b"],
    ["a clipboard write", "a\x1b]52;c;cm0gLXJmIC8=\x07b"],
    ["a device control string", "a\x1bP+q544e\x1b\\b"],
    ["an application command", "a\x1b_Gpayload\x1b\\b"],
    ["cursor movement and clearing", "a\x1b[2J\x1b[10;10H\x1b[5Ab"],
    ["a private mode", "a\x1b[?1049h\x1b[?25lb"],
    ["a character set", "a\x1b(0b"],
    ["C1 controls", "a\u009b31m\u0085\u009d0;title\u009cb"],
    ["bells and NULs", "a\x07\0\x0e\x7fb"],
  ])("shows nothing of %s", (_, text) => {
    expect(shown(text)).toBe("ab");
  });

  it("lets no unfinished sequence hide the next line", () => {
    expect(shown("a\x1b]0;never ended\nb\x1b[31\nc\x1bP\nd")).toBe("a\nb\nc\nd");
  });

  it("shows text again after a string sequence that never ends", () => {
    expect(shown(`\x1b]0;${"x".repeat(10_000)}END`)).toMatch(/xEND$/);
  });

  it("reads a megabyte of CSI parameters in bounded memory", () => {
    expect(shown(`a\x1b[${"1;".repeat(500_000)}mb`)).toBe("ab");
  });

  it("requests erasing the line for EL 2 and moving to its start for CHA 1", () => {
    expect(read("\x1b[2K\x1b[1G\x1b[G\x1b[K")).toEqual(["erase", "\\r", "\\r"]);
  });

  it.each([
    ["CAN", "a\x1b]0;title\x18b"],
    ["SUB", "a\x1b[31;\x1ab"],
  ])("ends a sequence at %s, as terminals do", (_, text) => {
    expect(shown(text)).toBe("ab");
  });

  it("executes a control character that interrupts a sequence", () => {
    expect(read("a\x1b\rb\x1b[1\bc\x1b(\rd")).toEqual([
      { text: "a", style: plainStyle },
      "\\r",
      { text: "b", style: plainStyle },
      "\\b",
      { text: "c", style: plainStyle },
      "\\r",
      { text: "d", style: plainStyle },
    ]);
  });

  it.each([
    ["U+061C", "\u061c"],
    ["U+200E", "\u200e"],
    ["U+200F", "\u200f"],
    ["U+202A", "\u202a"],
    ["U+202E", "\u202e"],
    ["U+2066", "\u2066"],
    ["U+2069", "\u2069"],
    ["U+206A", "\u206a"],
  ])("drops %s, which changes the reading order", (_, character) => {
    expect(shown(`a${character}b`)).toBe("ab");
  });

  it("shows a space for separators at which browsers start a new line", () => {
    expect(shown("a\u2028b\u2029c")).toBe("a b c");
  });

  it("keeps joiners, which emoji and several scripts need", () => {
    expect(shown("👩\u200d💻 می\u200cخواهم")).toBe("👩\u200d💻 می\u200cخواهم");
  });

  it("shows what follows the 4096th character of a string that never ends", () => {
    expect(shown(`\x1b]0;${"x".repeat(4096 - 2)}END`)).toBe("ND");
    expect(shown(`\x1bP${"x".repeat(4096)}END`)).toBe("ND");
  });

  it("ignores the colour of a sequence that is too long", () => {
    expect(read(`\x1b[${"0".repeat(256)}1mbold`)).toEqual([{ text: "bold", style: plainStyle }]);
    expect(read(`\x1b[${"0".repeat(255)}1mbold`)).toEqual([{ text: "bold", style: { bold: true } }]);
  });

  describe("reads the same wherever the bytes are split:", () => {
    it.each([
      ["a colour", "a\x1b[1;38;2;1;2;3mb"],
      ["a title", "a\x1b]0;owned\x07b"],
      ["a title that ends with ST", "a\x1b]0;owned\x1b\\b"],
      ["a device control string", "a\x1bP+q544e\x1b\\b"],
      ["8-bit controls", "a\u009b31mb\u009d0;title\u009cc"],
      ["a string that is cut off by another sequence", "a\x1b]0;t\x1b[31mb"],
      ["a sequence that a newline ends", "a\x1b]0;t\nb\x1b[31\nc"],
      ["a character set", "a\x1b(0b"],
      ["characters of two, three and four bytes", "é\u202e漢\u2028😀"],
      ["bytes that are not UTF-8", Buffer.from([0x61, 0xff, 0xc3, 0x28, 0xe2, 0x82, 0x62, 0xf0, 0x9f])],
      ["a line that is replaced", "10%\r20%\x1b[2K30%\b\n"],
    ])("%s", (_, hostile) => {
      const bytes = Buffer.from(hostile);
      const whole = read(bytes);
      for (let cut = 0; cut <= bytes.length; cut += 1) {
        expect(read(bytes.subarray(0, cut), bytes.subarray(cut)), `cut at byte ${cut}`).toEqual(whole);
      }
      const single = Array.from(bytes, (byte) => Uint8Array.of(byte));
      expect(read(...single)).toEqual(whole);
    });
  });

  it("reads the same wherever the text is split", () => {
    const piece = fc.constantFrom(
      "a",
      "é",
      "\n",
      "\r",
      "\b",
      "\x1b",
      "[",
      "]",
      "31",
      ";",
      "m",
      "K",
      "\x07",
      "\\",
      "P",
      "\x9b",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 60 }), fc.array(fc.nat(60), { maxLength: 5 }), (pieces, cuts) => {
        const bytes = Buffer.from(pieces.join(""));
        const points = [0, ...cuts.map((cut) => Math.min(cut, bytes.length)).sort((a, b) => a - b), bytes.length];
        const parts = points.slice(1).map((point, index) => bytes.subarray(points[index], point));
        expect(read(...parts)).toEqual(read(bytes));
      }),
    );
  });

  it("prints nothing that a terminal interprets or that changes the reading order", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          hostileText.map((text) => Buffer.from(text)),
          fc.uint8Array({ maxLength: 200 }),
        ),
        (bytes) => {
          expect(shown(bytes).replaceAll("\n", "")).not.toMatch(
            /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f]/,
          );
        },
      ),
      { numRuns: 2000 },
    );
  });
});

/** Text that contains terminal sequences more often than random text. */
const hostileText = fc
  .array(
    fc.oneof(
      fc.constantFrom("\x1b", "\x1b[", "\x1b]", "\x1bP", "\u009b", "\u009d", "\x1b\\", "\x07", "\r", "\n", "\t"),
      fc.constantFrom("31", "m", "2J", ";", ":", "?", "0;title", "8;;http://x", "\u202e", "\u2028", "é", "😀"),
      fc.string({ unit: "binary", maxLength: 5 }),
    ),
  )
  .map((parts) => parts.join(""));

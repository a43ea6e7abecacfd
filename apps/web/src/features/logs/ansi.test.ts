import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TerminalParser } from "./ansi.ts";
import { plainStyle, type TextStyle } from "./text-style.ts";

/** What was printed and done, as one text per event; neighbours of one style joined. */
function read(...pieces: string[]) {
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
  for (const piece of pieces) parser.write(piece);
  return events;
}

const shown = (...pieces: string[]) =>
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

  it("shows text again behind a string sequence that never ends", () => {
    expect(shown(`\x1b]0;${"x".repeat(10_000)}END`)).toMatch(/xEND$/);
  });

  it("takes a megabyte of CSI parameters in bounded memory", () => {
    expect(shown(`a\x1b[${"1;".repeat(500_000)}mb`)).toBe("ab");
  });

  it("asks to erase the line for EL 2 and to go back for CHA 1", () => {
    expect(read("\x1b[2K\x1b[1G\x1b[G\x1b[K")).toEqual(["erase", "\\r", "\\r"]);
  });

  it("reads the same however the text is cut", () => {
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
        const text = pieces.join("");
        const points = [0, ...cuts.map((cut) => Math.min(cut, text.length)).sort((a, b) => a - b), text.length];
        const parts = points.slice(1).map((point, index) => text.slice(points[index], point));
        expect(shown(...parts)).toBe(shown(text));
      }),
    );
  });
});

import { applySgr, plainStyle, type TextStyle } from "./text-style.ts";

/** Where the parser puts what it reads. */
export interface TerminalSink {
  /** Printable text, tabs included. */
  print(text: string, style: TextStyle): void;
  newline(): void;
  /** The cursor goes to the line's begin: what is printed next replaces the line. */
  carriageReturn(): void;
  backspace(): void;
  /** The line's text is gone at once. */
  eraseLine(): void;
}

type Mode =
  | "ground"
  /** Behind ESC. */
  | "escape"
  /** Behind `ESC (` and its like: one more character belongs to it. */
  | "charset"
  /** Inside `ESC [ …`. */
  | "csi"
  /** Inside OSC, DCS, SOS, PM or APC, whose text is never shown. */
  | "string"
  /** Inside such a string, behind an ESC. */
  | "string-escape";

/** Control characters other than tab. */
const special = /[^\P{Cc}\t]/gu;

/** More of a CSI sequence's parameters than this are read and dropped. */
const maxParameters = 256;
/** A string sequence that has not ended by now never will: what follows is shown again. */
const maxStringLength = 4096;

/**
 * Reads a terminal's output as it arrives, in pieces cut anywhere. It knows colours (SGR), `\r`, backspace and the
 * erasing of a line; every other escape sequence (titles, links, clipboard, cursor movement, …) is dropped. A newline
 * ends any unfinished sequence, so that none can hide the lines behind it. Time and memory are linear in the input.
 */
export class TerminalParser {
  private mode: Mode = "ground";
  private parameters = "";
  private stringLength = 0;
  private style: TextStyle = plainStyle;
  private readonly sink: TerminalSink;

  constructor(sink: TerminalSink) {
    this.sink = sink;
  }

  write(text: string): void {
    let index = 0;
    while (index < text.length) {
      if (this.mode === "ground") index = this.ground(text, index);
      else {
        this.step(text.charCodeAt(index), text[index] ?? "");
        index += 1;
      }
    }
  }

  /** Prints up to the next control character and acts on that one. */
  private ground(text: string, start: number): number {
    special.lastIndex = start;
    const match = special.exec(text);
    const end = match?.index ?? text.length;
    if (end > start) this.sink.print(text.slice(start, end), this.style);
    if (!match) return end;
    this.control(text.charCodeAt(end));
    return end + 1;
  }

  private control(code: number): void {
    if (code === 0x0a) this.sink.newline();
    else if (code === 0x0d) this.sink.carriageReturn();
    else if (code === 0x08) this.sink.backspace();
    else if (code === 0x1b) this.mode = "escape";
    else if (code === 0x9b) this.begin("csi");
    else if (code === 0x90 || code === 0x98 || (code >= 0x9d && code <= 0x9f)) this.begin("string");
  }

  private begin(mode: "csi" | "string"): void {
    this.mode = mode;
    this.parameters = "";
    this.stringLength = 0;
  }

  private step(code: number, character: string): void {
    if (code === 0x0a) {
      this.mode = "ground";
      this.sink.newline();
      return;
    }
    switch (this.mode) {
      case "escape":
        if (character === "[") this.begin("csi");
        else if ("]PX^_".includes(character)) this.begin("string");
        else if (code >= 0x20 && code <= 0x2f) this.mode = "charset";
        else if (code !== 0x1b) this.mode = "ground";
        return;
      case "charset":
        if (code < 0x20 || code > 0x2f) this.mode = "ground";
        return;
      case "csi":
        this.csi(code, character);
        return;
      case "string":
        this.stringLength += 1;
        if (code === 0x07 || code === 0x9c || this.stringLength > maxStringLength) this.mode = "ground";
        else if (code === 0x1b) this.mode = "string-escape";
        return;
      case "string-escape":
        // ESC \ ends the string. Any other ESC does so too and begins its own sequence.
        this.mode = "escape";
        if (character === "\\") this.mode = "ground";
        else this.step(code, character);
        return;
    }
  }

  private csi(code: number, character: string): void {
    if (code >= 0x20 && code <= 0x3f) {
      if (this.parameters.length < maxParameters) this.parameters += character;
      return;
    }
    this.mode = "ground";
    if (code < 0x40 || code > 0x7e) {
      // Not a sequence after all: the character counts for itself.
      if (code < 0x20 || (code >= 0x7f && code <= 0x9f)) this.control(code);
      else this.sink.print(character, this.style);
      return;
    }
    const { parameters } = this;
    if (character === "m" && /^[\d;:]*$/.test(parameters)) this.style = applySgr(this.style, parameters);
    else if (character === "K" && (parameters === "1" || parameters === "2")) this.sink.eraseLine();
    else if (character === "G" && /^[01]?$/.test(parameters)) this.sink.carriageReturn();
  }
}

import { applySgr, plainStyle, type TextStyle } from "./text-style.ts";
import { isLineSeparator, unprintable } from "./unprintable.ts";

/** Receives what the parser reads. */
export interface TerminalSink {
  /** Printable text, tabs included. Nothing in it steers a terminal or changes the reading order. */
  print(text: string, style: TextStyle): void;
  newline(): void;
  /** The cursor goes to the start of the line: what is printed next replaces the line. */
  carriageReturn(): void;
  backspace(): void;
  /** The text of the line is removed at once. */
  eraseLine(): void;
}

type Mode =
  | "ground"
  /** After ESC. */
  | "escape"
  /** After `ESC (` and similar: one more character belongs to the sequence. */
  | "intermediate"
  /** Inside `ESC [ …`. */
  | "csi"
  /** Inside OSC, DCS, SOS, PM or APC, whose text is never shown. */
  | "string"
  /** Inside such a string, after an ESC. */
  | "string-escape";

/** Parameters of a CSI sequence beyond this length make the sequence meaningless. */
const maxParameters = 256;
/** A string that has not ended after this many characters is shown again, so that a stray `ESC ]` hides little. */
const maxStringLength = 4096;

/**
 * Reads the output of a program as it arrives, cut anywhere. It knows colours (SGR), `\r`, backspace and erasing a
 * line. It drops every other escape sequence (titles, links, clipboard, cursor movement, …) and every character that
 * would change the reading order. A newline ends any unfinished sequence, so that no sequence can hide later lines.
 * Time is linear in the input, memory is bounded.
 */
export class TerminalParser {
  readonly #sink: TerminalSink;
  readonly #decoder = new TextDecoder();
  readonly #unprintable = unprintable();
  #mode: Mode = "ground";
  #parameters = "";
  #stringLength = 0;
  #style: TextStyle = plainStyle;

  constructor(sink: TerminalSink) {
    this.#sink = sink;
  }

  /** Bytes of UTF-8; a character may be cut between two calls. */
  write(bytes: Uint8Array): void {
    this.writeText(this.#decoder.decode(bytes, { stream: true }));
  }

  /** Prints what is held back of a character that was cut, and forgets an unfinished sequence. */
  end(): void {
    this.writeText(this.#decoder.decode());
    this.#mode = "ground";
  }

  writeText(text: string): void {
    let index = 0;
    while (index < text.length) {
      if (this.#mode === "ground") index = this.#ground(text, index);
      else {
        this.#step(text.charCodeAt(index), text[index] ?? "");
        index += 1;
      }
    }
  }

  /** Prints up to the next unprintable character and acts on that one. */
  #ground(text: string, start: number): number {
    this.#unprintable.lastIndex = start;
    const end = this.#unprintable.exec(text)?.index ?? text.length;
    if (end > start) this.#sink.print(text.slice(start, end), this.#style);
    if (end === text.length) return end;
    this.#unprintableCharacter(text.charCodeAt(end));
    return end + 1;
  }

  #unprintableCharacter(code: number): void {
    if (code === 0x0a) this.#sink.newline();
    else if (code === 0x0d) this.#sink.carriageReturn();
    else if (code === 0x08) this.#sink.backspace();
    else if (code === 0x1b) this.#mode = "escape";
    else if (code === 0x9b) this.#begin("csi");
    else if (code === 0x90 || code === 0x98 || (code >= 0x9d && code <= 0x9f)) this.#begin("string");
    else if (isLineSeparator(code)) this.#sink.print(" ", this.#style);
  }

  #begin(mode: "csi" | "string"): void {
    this.#mode = mode;
    this.#parameters = "";
    this.#stringLength = 0;
  }

  /** One character inside a sequence. */
  #step(code: number, character: string): void {
    if (code === 0x0a) {
      this.#mode = "ground";
      this.#sink.newline();
      return;
    }
    // CAN and SUB end any sequence, as in every terminal.
    if (code === 0x18 || code === 0x1a) {
      this.#mode = "ground";
      return;
    }
    switch (this.#mode) {
      case "ground":
        this.writeText(character);
        return;
      case "escape":
        if (character === "[") this.#begin("csi");
        else if ("]PX^_".includes(character)) this.#begin("string");
        else if (code >= 0x20 && code <= 0x2f) this.#mode = "intermediate";
        else this.#finish(code, character);
        return;
      case "intermediate":
        if (code < 0x20 || code > 0x2f) this.#finish(code, character);
        return;
      case "csi":
        this.#csi(code, character);
        return;
      case "string":
        this.#stringLength += 1;
        if (code === 0x07 || code === 0x9c || this.#stringLength > maxStringLength) this.#mode = "ground";
        else if (code === 0x1b) this.#mode = "string-escape";
        return;
      case "string-escape":
        // `ESC \` ends the string. Any other ESC ends it, too, and begins a sequence of its own.
        this.#mode = "escape";
        if (character === "\\") this.#mode = "ground";
        else this.#step(code, character);
        return;
    }
  }

  #csi(code: number, character: string): void {
    if (code >= 0x20 && code <= 0x3f) {
      if (this.#parameters.length <= maxParameters) this.#parameters += character;
      return;
    }
    this.#finish(code, character);
    const parameters = this.#parameters;
    if (parameters.length > maxParameters) return;
    if (character === "m" && /^[\d;:]*$/.test(parameters)) this.#style = applySgr(this.#style, parameters);
    else if (character === "K" && (parameters === "1" || parameters === "2")) this.#sink.eraseLine();
    else if (character === "G" && /^[01]?$/.test(parameters)) this.#sink.carriageReturn();
  }

  /** Ends a sequence. Where the character can't be its last one, it counts for itself. */
  #finish(code: number, character: string): void {
    this.#mode = "ground";
    if (code < 0x20 || code > 0x7e) this.writeText(character);
  }
}

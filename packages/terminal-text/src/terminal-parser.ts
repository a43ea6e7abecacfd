import { applySgr, plainStyle, type TextStyle } from "./text-style.ts";
import { isLineSeparator, unprintable } from "./unprintable.ts";

/** Receives the parsed output. */
export interface TerminalSink {
  /** Printable text, including tabs. It contains nothing that controls a terminal or changes the reading order. */
  print(text: string, style: TextStyle): void;
  newline(): void;
  /** The cursor moves to the start of the line. The next text replaces the line. */
  carriageReturn(): void;
  backspace(): void;
  /** The text of the line is erased immediately. */
  eraseLine(): void;
}

type Mode =
  | "ground"
  /** After ESC. */
  | "escape"
  /** After `ESC (` and similar: one more character completes the sequence. */
  | "intermediate"
  /** Inside `ESC [ …`. */
  | "csi"
  /** Inside OSC, DCS, SOS, PM or APC, whose text is not shown. */
  | "string"
  /** Inside such a string, after an ESC. */
  | "string-escape";

/** A CSI sequence with longer parameters is ignored. */
const maxParameters = 256;
/** Text is shown again after this many characters of an unfinished string, so that a stray `ESC ]` hides little. */
const maxStringLength = 4096;

/**
 * Parses the output of a program as it arrives, in chunks cut anywhere.
 * It handles colours (SGR), `\r`, backspace and erasing a line. It drops all other escape sequences (titles, links,
 * clipboard, cursor movement, …) and all characters that change the reading order. A newline ends any unfinished
 * sequence, so that no sequence can hide later lines.
 * Time is linear in the input, and memory is bounded.
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

  /** Parses UTF-8. A character may be split between two calls. */
  write(bytes: Uint8Array): void {
    this.writeText(this.#decoder.decode(bytes, { stream: true }));
  }

  /** Prints the rest of an incomplete character, and drops an incomplete sequence. */
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

  /** Prints the text before the next unprintable character and handles that character. */
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

  /** Handles one character inside a sequence. */
  #step(code: number, character: string): void {
    if (code === 0x0a) {
      this.#mode = "ground";
      this.#sink.newline();
      return;
    }
    // CAN and SUB cancel any sequence, as in every terminal.
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
        // `ESC \` ends the string. Any other ESC also ends it and starts a new sequence.
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

  /** Ends a sequence. If the character can't be its last one, handles it as text. */
  #finish(code: number, character: string): void {
    this.#mode = "ground";
    if (code < 0x20 || code > 0x7e) this.writeText(character);
  }
}

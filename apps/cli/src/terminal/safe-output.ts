import {
  plainStyle,
  sameStyle,
  sgrOf,
  TerminalParser,
  type TerminalSink,
  type TextStyle,
} from "@airlock/terminal-text";
import stringWidth from "string-width";

export interface SafeOutputOptions {
  /**
   * Printed at the start of every row, so that output can't be mistaken for a line of this program. Default: nothing.
   */
  readonly mark?: string;
  /**
   * The width of the terminal. Longer lines continue in the next row, after the mark. Default: lines are not broken.
   */
  readonly columns?: () => number | undefined;
}

/**
 * Turns a job's untrusted output into safe text for a terminal, chunk by chunk: printable characters, newlines, tabs
 * and colours. A lone carriage return overwrites the line, but never the mark.
 * The result does not depend on where chunks are cut, except for the sequences that switch the terminal's wrapping off
 * and on.
 */
export class SafeOutput {
  readonly #writer: RowWriter;
  #parser: TerminalParser;
  readonly #columns: () => number | undefined;

  constructor({ mark = "", columns = () => undefined }: SafeOutputOptions = {}) {
    this.#columns = columns;
    this.#writer = new RowWriter(mark);
    this.#parser = new TerminalParser(this.#writer);
  }

  get atLineStart(): boolean {
    return this.#writer.atLineStart;
  }

  push(bytes: Uint8Array): string {
    return this.#collect(() => this.#parser.write(bytes));
  }

  /**
   * Ends one output and returns what remains of an incomplete character. The line stays open, and the next output
   * starts unstyled.
   */
  end(): string {
    const rest = this.#collect(() => this.#parser.end());
    this.#parser = new TerminalParser(this.#writer);
    return rest;
  }

  /** Ends an open line before other text is written. */
  breakLine(): string {
    return this.#collect(() => this.#writer.breakLine());
  }

  #collect(write: () => void): string {
    const columns = this.#columns();
    this.#writer.columns = columns ?? Number.POSITIVE_INFINITY;
    write();
    const text = this.#writer.take();
    // Terminals disagree on the width of some characters. With wrapping off, a terminal never starts a row without the
    // mark, whatever width it assumes.
    return columns === undefined || text === "" ? text : `${withoutWrapping}${text}${withWrapping}`;
  }
}

/** Writes lines as rows of a terminal, each after the mark. */
class RowWriter implements TerminalSink {
  columns = Number.POSITIVE_INFINITY;
  readonly #mark: string;
  readonly #markWidth: number;
  #text = "";
  #atLineStart = true;
  #overwrite = false;
  #column = 0;
  /** The terminal's current style. */
  #shown: TextStyle = plainStyle;

  constructor(mark: string) {
    this.#mark = mark;
    this.#markWidth = stringWidth(mark);
  }

  get atLineStart(): boolean {
    return this.#atLineStart;
  }

  take(): string {
    const text = this.#text;
    this.#text = "";
    return text;
  }

  print(text: string, style: TextStyle): void {
    if (this.#overwrite && !this.#atLineStart) {
      this.#setStyle(plainStyle);
      this.#text += "\r\u001b[K";
      this.#beginRow();
    } else if (this.#atLineStart) this.#beginRow();
    this.#atLineStart = false;
    this.#overwrite = false;
    this.#setStyle(style);
    if (this.columns === Number.POSITIVE_INFINITY) this.#text += text;
    else this.#printRows(text, style);
  }

  newline(): void {
    if (this.#atLineStart) this.#beginRow();
    this.#setStyle(plainStyle);
    this.#text += "\n";
    this.#atLineStart = true;
    this.#overwrite = false;
  }

  carriageReturn(): void {
    this.#overwrite = !this.#atLineStart;
  }

  eraseLine(): void {
    this.carriageReturn();
  }

  /** Ignored: only the terminal knows how many columns a character took, and backspaces must not reach the mark. */
  backspace(): void {}

  breakLine(): void {
    if (!this.#atLineStart) this.newline();
  }

  #printRows(text: string, style: TextStyle): void {
    for (const part of text.match(asciiOrOther) ?? []) {
      if (part.charCodeAt(0) >= 0x20 && part.charCodeAt(0) <= 0x7e) this.#printAscii(part, style);
      else for (const { segment } of graphemes.segment(part)) this.#printGrapheme(segment, style);
    }
  }

  #printAscii(text: string, style: TextStyle): void {
    let from = 0;
    while (from < text.length) {
      if (this.#column >= this.columns) this.#continueRow(style);
      const part = text.slice(from, from + Math.max(1, this.columns - this.#column));
      this.#text += part;
      this.#column += part.length;
      from += part.length;
    }
  }

  #printGrapheme(grapheme: string, style: TextStyle): void {
    const width = grapheme === "\t" ? 8 - (this.#column % 8) : stringWidth(grapheme);
    if (this.#column + width > this.columns) this.#continueRow(style);
    this.#text += grapheme;
    this.#column += width;
  }

  /** Continues a line that is wider than the terminal in the next row. */
  #continueRow(style: TextStyle): void {
    if (this.#column <= this.#markWidth) return;
    this.#setStyle(plainStyle);
    this.#text += "\n";
    this.#beginRow();
    this.#setStyle(style);
  }

  #beginRow(): void {
    this.#text += this.#mark;
    this.#column = this.#markWidth;
  }

  #setStyle(style: TextStyle): void {
    if (sameStyle(style, this.#shown)) return;
    this.#text += sgrOf(style);
    this.#shown = style;
  }
}

const graphemes = new Intl.Segmenter();
const asciiOrOther = /[ -~]+|[^ -~]+/g;
/** DECAWM, the terminal's line wrapping, off and on. */
const withoutWrapping = "\u001b[?7l";
const withWrapping = "\u001b[?7h";

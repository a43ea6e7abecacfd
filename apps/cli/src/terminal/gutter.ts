/**
 * Puts a mark before every line of a job's sanitized output, so that no output can pass for a line of ours. Colours
 * end with the line and go on after the next mark; a lone carriage return overwrites the line but not the mark.
 */
export class Gutter {
  readonly #mark: string;
  #atLineStart = true;
  #overwrite = false;
  #colours = "";

  constructor(mark: string) {
    this.#mark = mark;
  }

  get atLineStart(): boolean {
    return this.#atLineStart;
  }

  /** `text` as `OutputSanitizer` gives it. */
  push(text: string): string {
    let out = "";
    for (const part of text.split(separators)) {
      if (part === "") continue;
      if (part === "\n") {
        if (this.#atLineStart) out += this.#mark;
        out += this.#colours === "" ? "\n" : `${reset}\n`;
        this.#atLineStart = true;
        this.#overwrite = false;
      } else if (part === "\r") this.#overwrite = !this.#atLineStart;
      else if (part.startsWith("\u001b")) out += this.#colour(part);
      else out += this.#begin() + part;
    }
    return out;
  }

  /** Ends a line that is open, before something else is written. */
  breakLine(): string {
    if (this.#atLineStart) return "";
    this.#atLineStart = true;
    this.#overwrite = false;
    return this.#colours === "" ? "\n" : `${reset}\n`;
  }

  #begin(): string {
    if (!this.#atLineStart && !this.#overwrite) return "";
    const erase = this.#overwrite ? `${reset}\r\u001b[K` : "";
    this.#atLineStart = false;
    this.#overwrite = false;
    return erase + this.#mark + this.#colours;
  }

  #colour(sequence: string): string {
    // `ESC [ m` and `ESC [ 0 m` end all colours.
    if (/^[0;:]*$/.test(sequence.slice(2, -1))) this.#colours = "";
    else if (this.#colours.length + sequence.length <= mostColours) this.#colours += sequence;
    return this.#atLineStart || this.#overwrite ? "" : sequence;
  }
}

const reset = "\u001b[0m";
/** Beyond it a line begins with the colours that came first: nobody's real output changes colour so often without a reset. */
const mostColours = 256;
// biome-ignore lint/suspicious/noControlCharactersInRegex: it splits at escape sequences
const separators = /(\n|\r|\u001b\[[0-9;:]*m)/;

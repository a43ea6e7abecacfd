import { TerminalParser } from "@airlock/terminal-text";

const mostKept = 16 * 1024;

/**
 * Collects what an entry of the executor itself (a fetch, a pull) prints. Its last line is of interest while it runs,
 * the whole of it only if it fails.
 */
export class SetupOutput {
  readonly #parser: TerminalParser;
  #text = "";
  #lineStart = 0;
  #overwrite = false;

  constructor() {
    const returnToStart = () => {
      this.#overwrite = true;
    };
    this.#parser = new TerminalParser({
      print: (text) => this.#print(text.replaceAll("\t", " ")),
      newline: () => {
        this.#overwrite = false;
        this.#text += "\n";
        this.#lineStart = this.#text.length;
      },
      carriageReturn: returnToStart,
      eraseLine: returnToStart,
      backspace: () => {},
    });
  }

  push(bytes: Uint8Array): void {
    this.#parser.write(bytes);
    this.#cut();
  }

  #cut(): void {
    const cut = Math.max(0, this.#text.length - mostKept);
    this.#text = this.#text.slice(cut);
    this.#lineStart = Math.max(0, this.#lineStart - cut);
  }

  /** Safe lines of the executor itself. */
  note(lines: readonly string[]): void {
    if (this.#text.length > this.#lineStart) this.#text += "\n";
    this.#text += lines.map((line) => `${line}\n`).join("");
    this.#lineStart = this.#text.length;
    this.#overwrite = false;
    this.#cut();
  }

  /** As a terminal would show them, without what was overwritten. Safe text. */
  get lines(): readonly string[] {
    return this.#text
      .split("\n")
      .map((line) => line.trim())
      .filter((line) => line !== "");
  }

  #print(text: string): void {
    if (this.#overwrite) this.#text = this.#text.slice(0, this.#lineStart);
    this.#overwrite = false;
    this.#text += text;
  }
}

import { TerminalParser } from "@airlock/terminal-text";

const mostKept = 16 * 1024;

/**
 * Collects the output of the executor's own entries (a fetch, a pull). Its last line is shown while the entry runs, all
 * of it only if the entry fails.
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

  /** Adds messages of the executor. `lines` must be safe. */
  note(lines: readonly string[]): void {
    if (this.#text.length > this.#lineStart) this.#text += "\n";
    this.#text += lines.map((line) => `${line}\n`).join("");
    this.#lineStart = this.#text.length;
    this.#overwrite = false;
    this.#cut();
  }

  /** The lines as a terminal would show them, without overwritten text. Safe text. */
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

import { plainText } from "../terminal/plain-text.ts";
import { OutputSanitizer } from "../terminal/sanitize-output.ts";

const mostKept = 16 * 1024;

/**
 * What an entry of the executor itself (a fetch, a pull) prints: of interest while it runs, by its last line, and in
 * whole only when it failed.
 */
export class SetupOutput {
  readonly #sanitizer = new OutputSanitizer();
  #text = "";

  push(bytes: Uint8Array): void {
    this.#text = (this.#text + this.#sanitizer.push(bytes)).slice(-mostKept);
  }

  /** As a terminal would show them: without what was overwritten. Safe text. */
  get lines(): readonly string[] {
    return this.#text
      .split("\n")
      .map((line) => plainText(line.slice(line.trimEnd().lastIndexOf("\r") + 1)).trim())
      .filter((line) => line !== "");
  }
}

import { plainText } from "@airlock/terminal-text";
import type { OutputStream } from "../context/command-context.ts";
import { painter } from "./paint.ts";

/** Shows slow operations: on a terminal one line that is rewritten, elsewhere a line per new text. */
export class ProgressLine implements Disposable {
  readonly #stream: OutputStream;
  #shown = "";

  constructor(stream: OutputStream) {
    this.#stream = stream;
  }

  show(text: string): void {
    if (text === this.#shown) return;
    this.#shown = text;
    const line = painter(this.#stream)("dim", plainText(text));
    this.#stream.write(this.#stream.isTTY ? `\r\u001b[K${line}` : `${line}\n`);
  }

  clear(): void {
    if (this.#shown !== "" && this.#stream.isTTY) this.#stream.write("\r\u001b[K");
    this.#shown = "";
  }

  [Symbol.dispose](): void {
    this.clear();
  }
}

/**
 * Makes untrusted output safe to show on a terminal, chunk by chunk. What comes out is printable text with newlines,
 * tabs, lone carriage returns and colours (SGR); everything else that a terminal would obey is dropped: titles,
 * clipboard writes, links (OSC), device strings (DCS), cursor movement (CSI), 8-bit controls, bells, and the
 * characters that reverse the reading order. The result does not depend on where chunks are cut.
 */
export class OutputSanitizer {
  readonly #decoder = new TextDecoder();
  #state: State = "text";
  #parameters = "";
  #stringLength = 0;

  push(bytes: Uint8Array): string {
    return this.#pushText(this.#decoder.decode(bytes, { stream: true }));
  }

  /** What is still held back, when the output is over. */
  end(): string {
    const rest = this.#pushText(this.#decoder.decode());
    const pending = this.#state === "carriage-return" ? "\r" : "";
    this.#state = "text";
    return rest + pending;
  }

  #pushText(text: string): string {
    let out = "";
    let index = 0;
    while (index < text.length) {
      if (this.#state === "text") {
        const from = index;
        special.lastIndex = index;
        const match = special.exec(text);
        if (match === null) return out + text.slice(from);
        out += text.slice(from, match.index);
        index = match.index;
      }
      out += this.#take(text[index] ?? "");
      index += 1;
    }
    return out;
  }

  /** One character in any state; returns what it adds to the output. */
  #take(character: string): string {
    const code = character.charCodeAt(0);
    switch (this.#state) {
      case "carriage-return":
        // CR LF is one line end; several CRs in a row are one.
        if (character === "\r") return "";
        this.#state = "text";
        return (character === "\n" ? "" : "\r") + this.#take(character);
      case "text":
        return this.#takeText(character, code);
      case "escape":
        return this.#takeAfterEscape(character, code);
      case "intermediate":
        if (code >= 0x20 && code <= 0x2f) return "";
        this.#state = "text";
        return code < 0x20 || code > 0x7e ? this.#take(character) : "";
      case "csi":
        return this.#takeCsi(character, code);
      case "string":
      case "string-escape":
        return this.#takeString(character, code);
    }
  }

  #takeText(character: string, code: number): string {
    if (character === "\n" || character === "\t") return character;
    if (character === "\r") this.#state = "carriage-return";
    else if (code === 0x1b) this.#state = "escape";
    else if (code === 0x9b) this.#begin("csi");
    else if (code === 0x90 || code === 0x98 || (code >= 0x9d && code <= 0x9f)) this.#begin("string");
    else if (!isDropped(code)) return character;
    return "";
  }

  #takeAfterEscape(character: string, code: number): string {
    if (character === "[") this.#begin("csi");
    else if (character !== "" && "]PX^_".includes(character)) this.#begin("string");
    else if (code === 0x1b) this.#state = "escape";
    else if (code >= 0x20 && code <= 0x2f) this.#state = "intermediate";
    else {
      this.#state = "text";
      if (code < 0x20 || code > 0x7e) return this.#take(character);
    }
    return "";
  }

  #takeCsi(character: string, code: number): string {
    if (code >= 0x20 && code <= 0x3f) {
      if (this.#parameters.length <= longestSgr) this.#parameters += character;
      return "";
    }
    this.#state = "text";
    if (code < 0x20 || code > 0x7e) return this.#take(character);
    const isColour = character === "m" && this.#parameters.length <= longestSgr && /^[0-9;:]*$/.test(this.#parameters);
    return isColour ? `\u001b[${this.#parameters}m` : "";
  }

  #takeString(character: string, code: number): string {
    // A string that never ends would swallow the rest of the log: a line end or too many characters end it as well.
    if (character === "\n") {
      this.#state = "text";
      return "\n";
    }
    this.#stringLength += 1;
    const ended = code === 0x07 || code === 0x9c || (this.#state === "string-escape" && character === "\\");
    if (ended || this.#stringLength > longestString) this.#state = "text";
    else this.#state = code === 0x1b ? "string-escape" : "string";
    return "";
  }

  #begin(state: "csi" | "string"): void {
    this.#state = state;
    this.#parameters = "";
    this.#stringLength = 0;
  }
}

type State = "text" | "carriage-return" | "escape" | "intermediate" | "csi" | "string" | "string-escape";

const longestSgr = 64;
const longestString = 1 << 20;

// C0 without TAB and LF, DEL, C1, and the bidirectional controls.
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const special = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

function isDropped(code: number): boolean {
  return (
    code < 0x20 ||
    (code >= 0x7f && code <= 0x9f) ||
    code === 0x200e ||
    code === 0x200f ||
    (code >= 0x202a && code <= 0x202e) ||
    (code >= 0x2066 && code <= 0x2069)
  );
}

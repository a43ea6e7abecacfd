/**
 * The part of the telnet protocol (RFC 854, RFC 1073) that busybox's telnetd needs for a terminal: it carries bytes of the
 * terminal, and tells the server the window's size.
 */
const interpret = 255;
const [subBegin, subEnd, will, dont] = [250, 240, 251, 254] as const;
const windowSize = 31;

/** Encodes what a user types. */
export function encodeInput(bytes: Uint8Array): Buffer {
  return Buffer.from([...bytes].flatMap((byte) => (byte === interpret ? [interpret, interpret] : [byte])));
}

export function encodeWindowSize({ columns, rows }: { readonly columns: number; readonly rows: number }): Buffer {
  const number = (value: number) => {
    const bounded = Math.min(Math.max(Math.floor(value), 1), 999);
    return [bounded >> 8, ...encodeInput(Buffer.of(bounded & 255))];
  };
  const size = [...number(columns), ...number(rows)];
  return Buffer.from([interpret, will, windowSize, interpret, subBegin, windowSize, ...size, interpret, subEnd]);
}

type State = "text" | "command" | "option" | "sub" | "sub-command";

/** Takes the server's commands out of its output. What it says is untrusted: no sequence makes this grow or fail. */
export class TelnetOutput {
  #state: State = "text";

  decode(bytes: Uint8Array): Buffer {
    const text: number[] = [];
    for (const byte of bytes) {
      if (this.#state === "text" && byte !== interpret) text.push(byte);
      else if (this.#state === "command" && byte === interpret) {
        text.push(byte);
        this.#state = "text";
      } else this.#state = nextState(this.#state, byte);
    }
    return Buffer.from(text);
  }
}

function nextState(state: State, byte: number): State {
  switch (state) {
    case "text":
      return "command";
    case "command":
      if (byte === subBegin) return "sub";
      return byte >= will && byte <= dont ? "option" : "text";
    case "option":
      return "text";
    case "sub":
      return byte === interpret ? "sub-command" : "sub";
    case "sub-command":
      return byte === subEnd ? "text" : "sub";
  }
}

/**
 * The part of the telnet protocol (RFC 854, RFC 1073) that busybox's telnetd needs for a terminal: it carries bytes of the
 * terminal, and tells the server the window's size.
 */
const interpret = 255;
const [subBegin, subEnd, will, dont] = [250, 240, 251, 254] as const;
const windowSize = 31;
/** Not assigned by IANA. Before the end of the stream it tells how the shell ended. */
const exitCode = 200;

/** Encodes the exit code of a terminal's shell, for {@link TelnetOutput}. */
export function encodeExitCode(code: number): Buffer {
  return Buffer.from([interpret, subBegin, exitCode, ...encodeInput(Buffer.of(code)), interpret, subEnd]);
}

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
  readonly #negotiated: number[] = [];
  #exitCode: number | null = null;

  /** Exit code of the terminal's shell. `null`: the server did not tell one. */
  get exitCode(): number | null {
    return this.#exitCode;
  }

  decode(bytes: Uint8Array): Buffer {
    const text: number[] = [];
    for (const byte of bytes) {
      // Only the beginning of what is negotiated matters, so its length needs no limit.
      if (this.#state === "sub" && this.#negotiated.length < 2) this.#negotiated.push(byte);
      if (this.#state === "text" && byte !== interpret) text.push(byte);
      else if (this.#state === "command" && byte === interpret) {
        text.push(byte);
        this.#state = "text";
      } else this.#state = nextState(this.#state, byte);
      if (this.#state === "text") this.#endNegotiation();
    }
    return Buffer.from(text);
  }

  #endNegotiation(): void {
    const [option, code] = this.#negotiated.splice(0);
    if (option === exitCode && code !== undefined) this.#exitCode = code;
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

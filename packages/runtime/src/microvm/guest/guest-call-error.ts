import { GuestViolation } from "./frames.ts";
import { PayloadReader } from "./payload-reader.ts";

const codes = [
  "not-ready",
  "busy",
  "invalid",
  "not-found",
  "not-a-file",
  "too-large",
  "no-space",
  "denied",
  "canceled",
  "system",
  "not-executable",
  "out-of-memory",
] as const;

export type GuestErrorCode = (typeof codes)[number];

/** The agent's answer to a call that it could not carry out. Code and text are claims of the guest. */
export class GuestCallError extends Error {
  readonly code: GuestErrorCode;
  /** The kernel's error number in the guest, or 0. */
  readonly errno: number;

  constructor(code: GuestErrorCode, errno: number, text: string) {
    super(`the guest agent answered: ${text}${errno === 0 ? "" : ` (error ${errno})`}`);
    this.name = "GuestCallError";
    this.code = code;
    this.errno = errno;
  }

  static parse(payload: Buffer): GuestCallError {
    const reader = new PayloadReader(payload, "an error");
    const code = codes[reader.uint8() - 1];
    const errno = reader.uint32();
    if (code === undefined || payload.length > 5 + 256) throw new GuestViolation("a malformed error");
    // Only printable ASCII: the text ends up in logs and terminals.
    const text = payload
      .subarray(5)
      .toString("latin1")
      .replace(/[^\x20-\x7e]/g, "?");
    return new GuestCallError(code, errno, text);
  }
}

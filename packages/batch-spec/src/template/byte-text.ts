/*
 * Go's strings are bytes: `len`, `slice`, `index` and comparisons count bytes. The engine therefore keeps text as a
 * "byte text": a JavaScript string in which each character stands for one byte of the UTF-8 form.
 */

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
// biome-ignore lint/suspicious/noControlCharactersInRegex: the test is for ASCII.
const ascii = /^[\x00-\x7f]*$/;
const chunk = 8192;

export function toByteText(text: string | Uint8Array): string {
  if (typeof text === "string" && ascii.test(text)) return text;
  const bytes = typeof text === "string" ? encoder.encode(text) : text;
  let result = "";
  for (let start = 0; start < bytes.length; start += chunk) {
    result += String.fromCharCode(...bytes.subarray(start, start + chunk));
  }
  return result;
}

/** Bytes that are not UTF-8 become U+FFFD. */
export function fromByteText(bytes: string): string {
  if (ascii.test(bytes)) return bytes;
  return decoder.decode(Uint8Array.from({ length: bytes.length }, (_, index) => bytes.charCodeAt(index)));
}

/** One character, or one byte that is not part of UTF-8. */
export interface Rune {
  readonly bytes: string;
  /** U+FFFD for an invalid byte. */
  readonly codePoint: number;
  readonly valid: boolean;
}

export function* runesOf(bytes: string): Generator<Rune> {
  for (let index = 0; index < bytes.length; ) {
    const first = bytes.charCodeAt(index);
    const length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
    const part = bytes.slice(index, index + Math.max(1, length));
    const codePoint = length === 0 ? undefined : decode(part, length);
    if (codePoint === undefined) {
      yield { bytes: bytes.slice(index, index + 1), codePoint: 0xfffd, valid: false };
      index += 1;
    } else {
      yield { bytes: part, codePoint, valid: true };
      index += length;
    }
  }
}

function decode(part: string, length: number): number | undefined {
  if (part.length < length) return undefined;
  let codePoint = length === 1 ? part.charCodeAt(0) : part.charCodeAt(0) & (0x7f >> length);
  for (let index = 1; index < length; index++) {
    const byte = part.charCodeAt(index);
    if ((byte & 0xc0) !== 0x80) return undefined;
    codePoint = codePoint * 64 + (byte & 0x3f);
  }
  const least = length === 3 ? 0x800 : length === 4 ? 0x10000 : 0;
  if (codePoint < least || codePoint > 0x10ffff || (codePoint >= 0xd800 && codePoint <= 0xdfff)) return undefined;
  return codePoint;
}

/** Whether Go prints the character as it is: letters, marks, numbers, punctuation, symbols and the ASCII space. */
export function isPrintable(codePoint: number): boolean {
  return codePoint === 0x20 || /[\p{L}\p{M}\p{N}\p{P}\p{S}]/u.test(String.fromCodePoint(codePoint));
}

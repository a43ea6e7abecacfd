import { toByteText } from "./byte-text.ts";
import { TemplateFailure } from "./template-failure.ts";

const integer = /^[+-]?(?:0[xX](?:_?[\da-fA-F])+|0[oO](?:_?[0-7])+|0[bB](?:_?[01])+|0(?:_?[0-7])*|[1-9](?:_?\d)*)$/;
const decimal = /^[+-]?(?=\.?\d)(?:\d(?:_?\d)*)?(?:\.(?:\d(?:_?\d)*)?)?(?:[eE][+-]?\d(?:_?\d)*)?$/;
const hexadecimal = /^([+-]?)0[xX]((?:_?[\da-fA-F])*)(?:\.([\da-fA-F]*))?[pP]([+-]?\d+)$/;

/** The value of a number as Go's source would have it: `int`, or `float64` if it has a dot or an exponent. */
export function parseNumber(text: string, at: number): bigint | number {
  const shown = text.length > 60 ? `${text.slice(0, 60)}…` : text;
  if (integer.test(text)) {
    const value = parseInteger(text.replaceAll("_", ""));
    if (value < -(2n ** 63n) || value >= 2n ** 63n) throw new TemplateFailure(`${shown} does not fit into 64 bits`, at);
    return value;
  }
  const float = decimal.test(text) && /[.eE]/.test(text) ? Number(text.replaceAll("_", "")) : parseHexadecimal(text);
  if (Number.isFinite(float)) return float;
  throw new TemplateFailure(`${shown} is not a number`, at);
}

function parseInteger(text: string): bigint {
  const digits = text.replace(/^[+-]/, "");
  const value = BigInt(/^0\d/.test(digits) ? `0o${digits.slice(1)}` : digits);
  return text.startsWith("-") ? -value : value;
}

function parseHexadecimal(text: string): number {
  const [, sign, whole = "", fraction = "", exponent] = hexadecimal.exec(text) ?? [];
  const digits = whole.replaceAll("_", "") + fraction;
  if (digits === "" || digits.length > 16) return Number.NaN;
  const value = Number(`0x${digits}`) * 2 ** (Number(exponent) - 4 * fraction.length);
  return sign === "-" ? -value : value;
}

const simple: Readonly<Record<string, string>> = {
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  "\\": "\\",
};

/** The byte text of a string or character constant, with its quotes. */
export function unquote(constant: string, at: number): string {
  const [quote] = constant;
  const inner = constant.slice(1, -1);
  if (quote === "`") return toByteText(inner.replaceAll("\r", ""));
  let result = "";
  const parts = inner.matchAll(/[^\\]+|\\(?:x[\da-fA-F]{2}|u[\da-fA-F]{4}|U[\da-fA-F]{8}|[0-7]{3}|.)/gsu);
  let end = 0;
  for (const { 0: part, index } of parts) {
    if (index !== end) break;
    result += part.startsWith("\\") ? resolveEscape(part, quote, at + 1 + index) : toByteText(part);
    end = index + part.length;
  }
  if (end !== inner.length) throw new TemplateFailure("unknown escape", at + 1 + end);
  return result;
}

function resolveEscape(sequence: string, quote: string | undefined, at: number): string {
  const letter = sequence[1] ?? "";
  const rest = sequence.slice(2);
  if (letter === quote) return letter;
  if (rest === "" && Object.hasOwn(simple, letter)) return simple[letter] ?? "";
  if (letter === "x" && rest !== "") return String.fromCharCode(Number.parseInt(rest, 16));
  if (/^[0-7]{3}$/.test(sequence.slice(1)) && Number.parseInt(sequence.slice(1), 8) < 256) {
    return String.fromCharCode(Number.parseInt(sequence.slice(1), 8));
  }
  if ((letter === "u" || letter === "U") && rest !== "") {
    const codePoint = Number.parseInt(rest, 16);
    if (codePoint <= 0x10ffff && (codePoint < 0xd800 || codePoint > 0xdfff)) {
      return toByteText(String.fromCodePoint(codePoint));
    }
  }
  throw new TemplateFailure(`unknown escape ${sequence}`, at);
}

/** The number of a character constant such as `'a'` or `'\n'`. */
export function characterCode(constant: string, at: number): bigint {
  const inner = constant.slice(1, -1);
  const numeric = /^\\(?:x([\da-fA-F]{2})|([0-7]{3}))$/.exec(inner);
  if (numeric) {
    const code = numeric[1] === undefined ? Number.parseInt(numeric[2] ?? "", 8) : Number.parseInt(numeric[1], 16);
    if (code < 256) return BigInt(code);
  }
  const bytes = unquote(constant, at);
  const characters = [...new TextDecoder().decode(Uint8Array.from(bytes, (byte) => byte.charCodeAt(0)))];
  const [only] = characters;
  if (only === undefined || characters.length !== 1) throw new TemplateFailure("this is not one character", at);
  return BigInt(only.codePointAt(0) ?? 0);
}

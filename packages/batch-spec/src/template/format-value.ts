import type { Budget } from "./budget.ts";
import { isPrintable, runesOf } from "./byte-text.ts";
import { formatFloat } from "./numbers.ts";
import { Dictionary, List, type Value } from "./values.ts";

/** Go's `%v`: `[a b]`, `map[k:v]`, `<nil>`, `1e+06`. */
export function formatValue(value: Value, budget: Budget): string {
  if (typeof value === "string") return value;
  if (value === null) return "<nil>";
  if (typeof value === "number") return formatFloat(value, "g", undefined);
  if (value instanceof List) {
    const text = join(
      value.items.map((item) => formatValue(item, budget)),
      " ",
      budget,
    );
    return value.printsBare ? text : `[${text}]`;
  }
  if (value instanceof Dictionary) {
    const pairs = value.sortedKeys().map((key) => `${key}:${formatValue(value.entries.get(key) ?? null, budget)}`);
    return `map[${join(pairs, " ", budget)}]`;
  }
  return String(value);
}

/** What an action prints. A missing value is `<no value>`. */
export function printedValue(value: Value, budget: Budget): string {
  return value === null ? "<no value>" : formatValue(value, budget);
}

export function join(texts: readonly string[], separator: string, budget: Budget): string {
  budget.makeText(texts.reduce((sum, text) => sum + text.length + separator.length, 0));
  return texts.join(separator);
}

/** Go's `print`: puts a space between two values of which neither is text. */
export function print(values: readonly Value[], budget: Budget): string {
  const parts = values.flatMap((value, index) => {
    const previous = values[index - 1];
    const spaced = index > 0 && typeof value !== "string" && typeof previous !== "string";
    return spaced ? [" ", formatValue(value, budget)] : [formatValue(value, budget)];
  });
  return join(parts, "", budget);
}

const escapes: Readonly<Record<string, string>> = {
  "\x07": "\\a",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\v": "\\v",
  "\\": "\\\\",
};

/** A constant of Go's source for a byte text, with quotes. */
export function quote(bytes: string, quotation: '"' | "'" = '"', onlyAscii = false): string {
  let result: string = quotation;
  for (const { bytes: part, codePoint, valid } of runesOf(bytes)) result += quoteRune(part, codePoint, valid);
  return result + quotation;

  function quoteRune(part: string, codePoint: number, valid: boolean): string {
    if (part === quotation) return `\\${part}`;
    if (Object.hasOwn(escapes, part)) return escapes[part] ?? "";
    if (!valid) return `\\x${hex(part.charCodeAt(0), 2)}`;
    if (isPrintable(codePoint) && (codePoint < 0x80 || !onlyAscii)) return part;
    if (codePoint < 0x20 || codePoint === 0x7f) return `\\x${hex(codePoint, 2)}`;
    return codePoint < 0x10000 ? `\\u${hex(codePoint, 4)}` : `\\U${hex(codePoint, 8)}`;
  }
}

function hex(code: number, digits: number): string {
  return code.toString(16).padStart(digits, "0");
}

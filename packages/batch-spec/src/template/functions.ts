import type { Budget } from "./budget.ts";
import { fromByteText, isPrintable, runesOf } from "./byte-text.ts";
import { isEqual, isLess } from "./comparisons.ts";
import { join, print, printedValue } from "./format-value.ts";
import { Glob } from "./glob.ts";
import { printf } from "./printf.ts";
import { TemplateFailure } from "./template-failure.ts";
import { Dictionary, isTrue, List, typeName, type Value } from "./values.ts";

/** The type of a parameter. `any` takes every value. */
export type Parameter = "any" | "string" | "strings";

export interface TemplateFunction {
  readonly parameters: readonly Parameter[];
  /** Type of any number of further arguments. */
  readonly rest?: Parameter;
  call(values: readonly Value[], budget: Budget): Value;
}

function text(value: Value | undefined): string {
  if (typeof value !== "string") throw new TemplateFailure("text is expected");
  return value;
}

function texts(value: Value | undefined): readonly string[] {
  return value instanceof List ? value.items.map(text) : [];
}

/** Functions of batch specs. */
const specFunctions: Readonly<Record<string, TemplateFunction>> = {
  join: {
    parameters: ["strings", "string"],
    call: ([list, separator], budget) => join(texts(list), text(separator), budget),
  },
  split: {
    parameters: ["string", "string"],
    call: ([whole, separator], budget) => new List(split(text(whole), text(separator), budget), "string"),
  },
  replace: {
    parameters: ["string", "string", "string"],
    call: ([whole, old, replacement], budget) =>
      join(split(text(whole), text(old), budget, true), text(replacement), budget),
  },
  join_if: {
    parameters: ["string"],
    rest: "string",
    call: ([separator, ...parts], budget) => join(parts.map(text).filter(Boolean), text(separator), budget),
  },
  matches: {
    parameters: ["string", "string"],
    call: ([whole, pattern], budget) => {
      const subject = fromByteText(text(whole));
      const glob = fromByteText(text(pattern));
      budget.spend(1 + (subject.length * glob.length) / 8);
      return new Glob(glob).matches(subject);
    },
  },
};

/** An empty separator splits between characters. `replace` then also has a place before the first and after the last. */
function split(whole: string, separator: string, budget: Budget, around = false): string[] {
  budget.makeText(whole.length);
  if (separator !== "") {
    const parts = whole.split(separator);
    budget.spend(parts.length);
    return parts;
  }
  budget.spend(whole.length);
  const characters = [...runesOf(whole)].map(({ bytes }) => bytes);
  return around ? ["", ...characters, ""] : characters;
}

/** Go's own functions, except `and` and `or`, which don't evaluate all arguments. */
const goFunctions: Readonly<Record<string, TemplateFunction>> = {
  not: { parameters: ["any"], call: ([value = null]) => !isTrue(value) },
  eq: { parameters: ["any"], rest: "any", call: ([first = null, ...others]) => isEqual(first, others) },
  ne: { parameters: ["any", "any"], call: ([a = null, b = null]) => !isEqual(a, [b]) },
  lt: { parameters: ["any", "any"], call: ([a = null, b = null]) => isLess(a, b) },
  le: { parameters: ["any", "any"], call: ([a = null, b = null]) => isLess(a, b) || isEqual(a, [b]) },
  gt: { parameters: ["any", "any"], call: ([a = null, b = null]) => !(isLess(a, b) || isEqual(a, [b])) },
  ge: { parameters: ["any", "any"], call: ([a = null, b = null]) => !isLess(a, b) },
  len: { parameters: ["any"], call: ([value = null]) => BigInt(lengthOf(value)) },
  index: { parameters: ["any"], rest: "any", call: ([value = null, ...indexes]) => index(value, indexes) },
  slice: {
    parameters: ["any"],
    rest: "any",
    call: ([value = null, ...indexes], budget) => slice(value, indexes, budget),
  },
  print: { parameters: [], rest: "any", call: print },
  println: {
    parameters: [],
    rest: "any",
    call: (values, budget) =>
      `${join(
        values.map((value) => print([value], budget)),
        " ",
        budget,
      )}\n`,
  },
  printf: {
    parameters: ["string"],
    rest: "any",
    call: ([format, ...values], budget) => printf(text(format), values, budget),
  },
  html: {
    parameters: [],
    rest: "any",
    call: (values, budget) => replaceCharacters(values, budget, /[\0"'&<>]/g, (c) => html[c] ?? c),
  },
  js: { parameters: [], rest: "any", call: (values, budget) => escapeJavaScript(printed(values, budget), budget) },
  urlquery: {
    parameters: [],
    rest: "any",
    call: (values, budget) =>
      replaceCharacters(values, budget, /[^A-Za-z0-9\-_.~]/g, (c) => (c === " " ? "+" : `%${hex(c).toUpperCase()}`)),
  },
  call: {
    parameters: ["any"],
    rest: "any",
    call: ([value = null]) => {
      throw new TemplateFailure(`call: a value of type ${typeName(value)} is not a function`);
    },
  },
};

export const templateFunctions: ReadonlyMap<string, TemplateFunction> = new Map(
  Object.entries({ ...goFunctions, ...specFunctions }),
);

function lengthOf(value: Value): number {
  if (typeof value === "string") return value.length;
  if (value instanceof List) return value.items.length;
  if (value instanceof Dictionary) return value.entries.size;
  throw new TemplateFailure(`len: a value of type ${typeName(value)} has no length`);
}

function position(value: Value, most: number): number {
  if (typeof value !== "bigint") throw new TemplateFailure(`a value of type ${typeName(value)} is not an index`);
  if (value < 0n || value > BigInt(most)) throw new TemplateFailure(`index out of range: ${value}`);
  return Number(value);
}

function index(value: Value, indexes: readonly Value[]): Value {
  if (value === null) throw new TemplateFailure("index: the value is nil");
  return indexes.reduce<Value>((inner, at) => {
    if (inner === null) throw new TemplateFailure("index: the value is nil");
    if (inner instanceof Dictionary) {
      if (typeof at !== "string") throw new TemplateFailure(`index: a key is text, not ${typeName(at)}`);
      return inner.entries.get(at) ?? null;
    }
    if (typeof inner === "string") return BigInt(inner.charCodeAt(position(at, inner.length - 1)));
    if (inner instanceof List) return inner.items[position(at, inner.items.length - 1)] ?? null;
    throw new TemplateFailure(`index: a value of type ${typeName(inner)} has no elements`);
  }, value);
}

function slice(value: Value, indexes: readonly Value[], budget: Budget): Value {
  if (typeof value !== "string" && !(value instanceof List)) {
    throw new TemplateFailure(`slice: a value of type ${typeName(value)} can't be sliced`);
  }
  if (indexes.length > (typeof value === "string" ? 2 : 3)) throw new TemplateFailure("slice: too many indexes");
  const length = lengthOf(value);
  const bounds = indexes.map((at) => position(at, length));
  const [start = 0, end = length, capacity = length] = bounds;
  if (start > end || end > capacity) throw new TemplateFailure(`slice: the indexes are not in order`);
  budget.spend(1 + (end - start) / 16);
  if (typeof value === "string") return value.slice(start, end);
  return new List(value.items.slice(start, end), value.element, value.printsBare);
}

function printed(values: readonly Value[], budget: Budget): string {
  const [only] = values;
  if (values.length === 1 && typeof only === "string") return only;
  return print(
    values.map((value) => (value === null ? printedValue(value, budget) : value)),
    budget,
  );
}

const html: Readonly<Record<string, string>> = {
  "\0": "\xef\xbf\xbd",
  '"': "&#34;",
  "'": "&#39;",
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
};

function replaceCharacters(
  values: readonly Value[],
  budget: Budget,
  characters: RegExp,
  replacement: (character: string) => string,
): string {
  const plain = printed(values, budget);
  budget.makeText(plain.length * 5);
  return plain.replace(characters, replacement);
}

const javaScript: Readonly<Record<string, string>> = { "\\": "\\\\", "'": "\\'", '"': '\\"' };

function escapeJavaScript(plain: string, budget: Budget): string {
  budget.makeText(plain.length * 6);
  let result = "";
  for (const { bytes, codePoint } of runesOf(plain)) {
    if (bytes in javaScript) result += javaScript[bytes];
    else if (codePoint < 0x20 || "<>&=".includes(bytes)) result += `\\u00${hex(bytes).toUpperCase()}`;
    else if (codePoint < 0x80 || isPrintable(codePoint)) result += bytes;
    else result += `\\u${codePoint.toString(16).toUpperCase().padStart(4, "0")}`;
  }
  return result;
}

function hex(byte: string): string {
  return byte.charCodeAt(0).toString(16).padStart(2, "0");
}

import { toByteText } from "./byte-text.ts";

/**
 * A value of a template, with the distinctions that Go makes: `bigint` is `int`, `number` is `float64`, and a string is a
 * byte text. `null` is `nil`, and also a value that is missing.
 */
export type Value = null | boolean | bigint | number | string | List | Dictionary;

/** A slice: `[]string` or `[]interface {}`. */
export class List {
  readonly items: readonly Value[];
  readonly element: "string" | "any";
  /** Whether the list prints as its items with spaces between them, without brackets. */
  readonly printsBare: boolean;

  constructor(items: readonly Value[], element: "string" | "any", printsBare = false) {
    this.items = items;
    this.element = element;
    this.printsBare = printsBare;
  }
}

/** A map with text as keys: `map[string]interface {}`. Keys are byte texts. */
export class Dictionary {
  readonly entries: ReadonlyMap<string, Value>;

  constructor(entries: ReadonlyMap<string, Value>) {
    this.entries = entries;
  }

  sortedKeys(): readonly string[] {
    return [...this.entries.keys()].sort(compareBytes);
  }
}

function compareBytes(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export function textList(texts: readonly string[], printsBare = false): List {
  return new List(texts.map(toByteText), "string", printsBare);
}

export function dictionary(fields: Readonly<Record<string, Value>>): Dictionary {
  return new Dictionary(new Map(Object.entries(fields).map(([name, value]) => [toByteText(name), value])));
}

export function typeName(value: Value): string {
  if (value === null) return "<nil>";
  if (value instanceof List) return value.element === "string" ? "[]string" : "[]interface {}";
  if (value instanceof Dictionary) return "map[string]interface {}";
  switch (typeof value) {
    case "boolean":
      return "bool";
    case "bigint":
      return "int";
    case "number":
      return "float64";
    default:
      return "string";
  }
}

/** Go's truth: empty text, lists and maps, zero, `false` and `nil` are false. */
export function isTrue(value: Value): boolean {
  if (value === null) return false;
  if (value instanceof List) return value.items.length > 0;
  if (value instanceof Dictionary) return value.entries.size > 0;
  switch (typeof value) {
    case "boolean":
      return value;
    case "bigint":
      return value !== 0n;
    case "number":
      return value !== 0;
    default:
      return value.length > 0;
  }
}

import { TemplateFailure } from "./template-failure.ts";
import { Dictionary, List, typeName, type Value } from "./values.ts";

function isBasic(value: Value): value is boolean | bigint | number | string {
  return value !== null && !(value instanceof List) && !(value instanceof Dictionary);
}

/** Go's `eq`: whether the first value equals any of the others. Values of different types are an error. */
export function isEqual(first: Value, others: readonly Value[]): boolean {
  if (others.length === 0) throw new TemplateFailure("eq: a value to compare with is missing");
  return others.some((other) => equals(first, other));
}

function equals(a: Value, b: Value): boolean {
  if (isBasic(a) && isBasic(b)) {
    if (typeof a === typeof b) return a === b;
    throw incomparable(a, b);
  }
  if (a === null || b === null) return a === b;
  if (a instanceof List && b instanceof List) throw new TemplateFailure("eq: lists can't be compared");
  if (a instanceof Dictionary && b instanceof Dictionary) throw new TemplateFailure("eq: maps can't be compared");
  throw incomparable(a, b);
}

/** Go's `lt`. */
export function isLess(a: Value, b: Value): boolean {
  if (!isBasic(a) || !isBasic(b) || typeof a === "boolean" || typeof b === "boolean") {
    throw new TemplateFailure(`${typeName(a)} and ${typeName(b)} have no order`);
  }
  if (typeof a !== typeof b) throw incomparable(a, b);
  return a < b;
}

function incomparable(a: Value, b: Value): TemplateFailure {
  const float = typeof a === "number" || typeof b === "number";
  const integer = typeof a === "bigint" || typeof b === "bigint";
  const help = float && integer ? "; numbers from JSON are float64: write 3.0 instead of 3" : "";
  return new TemplateFailure(`${typeName(a)} and ${typeName(b)} can't be compared${help}`);
}

import { readYaml } from "@airlock/yaml-source";
import { yamlOptions } from "../yaml/yaml-options.ts";
import { fromByteText, toByteText } from "./byte-text.ts";
import { Dictionary, List, type Value } from "./values.ts";

const maximumDepth = 64;

export type ParsedOutput =
  | { readonly value: Value; readonly problem?: undefined }
  | { readonly value?: undefined; readonly problem: string };

/** Parses the rendered value of an output. Numbers of JSON are `float64`; whole numbers of YAML are `int`. */
export function parseStepOutput(text: string, format: "json" | "yaml" | "text" | undefined): ParsedOutput {
  if (format === "json") {
    let parsed: unknown;
    try {
      parsed = JSON.parse(text);
    } catch (error) {
      return { problem: `is not JSON: ${error instanceof Error ? error.message : String(error)}` };
    }
    return convert(parsed);
  }
  if (format === "yaml") {
    if (text.trim() === "") return { value: null };
    const document = readYaml(text, { ...yamlOptions, intAsBigInt: true });
    if (!("problems" in document)) return convert(document.value);
    const [first] = document.problems;
    if (first?.kind === "empty") return { value: null };
    return { problem: `is not YAML: line ${first?.span.line}: ${first?.message}` };
  }
  return { value: toByteText(text) };
}

function convert(parsed: unknown): ParsedOutput {
  const value = outputFromJson(parsed);
  return value === undefined ? { problem: `is nested deeper than ${maximumDepth} levels` } : { value };
}

/** A value from JSON, for example from a cached result. `undefined` if it is nested too deeply. */
export function outputFromJson(json: unknown, depth = 0): Value | undefined {
  if (depth > maximumDepth) return undefined;
  switch (typeof json) {
    case "string":
      return toByteText(json);
    case "bigint":
      return BigInt.asIntN(64, json) === json ? json : Number(json);
    case "number":
    case "boolean":
      return json;
    default:
  }
  if (typeof json !== "object" || json === null) return null;
  const entries: [string, Value][] = [];
  for (const [name, item] of Object.entries(json)) {
    const value = outputFromJson(item, depth + 1);
    if (value === undefined) return undefined;
    entries.push([toByteText(name), value]);
  }
  return Array.isArray(json)
    ? new List(
        entries.map(([, value]) => value),
        "any",
      )
    : new Dictionary(new Map(entries));
}

/** A value of JSON. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/** The value as JSON. Whole numbers lose their type, as in the original's cache. */
export function outputToJson(value: Value): Json {
  if (typeof value === "string") return fromByteText(value);
  if (typeof value === "bigint") return Number(value);
  if (value instanceof List) return value.items.map(outputToJson);
  if (value instanceof Dictionary) {
    return Object.fromEntries([...value.entries].map(([name, item]) => [fromByteText(name), outputToJson(item)]));
  }
  return value;
}

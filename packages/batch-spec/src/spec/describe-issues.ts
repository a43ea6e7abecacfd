import { closestWord } from "@airlock/job";
import type { z } from "zod";
import type { FieldProblem } from "./spec-problem.ts";
import { batchSpecSchema } from "./spec-schema.ts";

type Issue = z.core.$ZodIssue;
type Path = readonly PropertyKey[];

/** More unknown fields of one map are not reported: looking for similar names takes time. */
const maximumKeys = 100;

/** Describes what the schema found, for the author of the spec. `input` is what was parsed. */
export function describeIssues(issues: readonly Issue[], input: unknown, base: Path = []): FieldProblem[] {
  return issues.flatMap((issue) => describeIssue(issue, base, input));
}

function describeIssue(issue: Issue, base: Path, input: unknown): FieldProblem[] {
  const path = [...base, ...issue.path];
  const value = (message: string, help?: string): FieldProblem[] => [
    { path, target: "value", message, ...(help === undefined ? {} : { help }) },
  ];
  switch (issue.code) {
    case "unrecognized_keys":
      return issue.keys.slice(0, maximumKeys).map((key) => unknownField(path, key));
    case "invalid_type":
      return wrongType(path, [issue.expected], input);
    case "invalid_value":
      return value(
        `must be one of ${issue.values.map(String).join(", ")}`,
        suggestion(valueAt(input, path), issue.values),
      );
    case "invalid_union":
      return describeUnion(issue, path, input);
    case "invalid_key":
      return [{ path, target: "key", message: "the name must not be empty" }];
    case "too_small":
      if (issue.origin === "string" || issue.origin === "array") return value("must not be empty");
      return value(`must be at least ${issue.minimum}`);
    default:
      return value(issue.message);
  }
}

function describeUnion(issue: z.core.$ZodIssueInvalidUnion, path: Path, input: unknown): FieldProblem[] {
  // If the value's type fits only one member of the union, that member's problems say more than a list of members.
  const meant = issue.errors.filter((issues) => !issues.some((inner) => inner.path.length === 0 && isMismatch(inner)));
  const [only] = meant;
  if (only) return describeIssues(only, input, path);
  const values: unknown[] = [];
  const types: string[] = [];
  const collect = (issues: readonly Issue[]) => {
    for (const inner of issues) {
      if (inner.path.length > 0) continue;
      if (inner.code === "invalid_value") values.push(...inner.values);
      else if (inner.code === "invalid_type") types.push(inner.expected);
      else if (inner.code === "invalid_union") inner.errors.forEach(collect);
    }
  };
  issue.errors.forEach(collect);
  if (values.length === 0) return wrongType(path, types, input);
  const wanted = [...new Set([...types.map(typeName), ...values.map((one) => JSON.stringify(one))])];
  const actual = valueAt(input, path);
  return [
    {
      path,
      target: "value",
      message: `must be ${listOf(wanted)}, not ${describeValue(actual)}`,
      ...optionalHelp(suggestion(actual, values)),
    },
  ];
}

function isMismatch(issue: Issue): boolean {
  if (issue.code === "invalid_union")
    return issue.errors.every((issues) => issues.some((one) => one.path.length === 0 && isMismatch(one)));
  return issue.code === "invalid_type" || issue.code === "invalid_value";
}

function unknownField(path: Path, key: string): FieldProblem {
  const allowed = allowedFields(path);
  const meant = closestWord(key, allowed);
  const shown = JSON.stringify(key.length > 60 ? `${key.slice(0, 60)}…` : key);
  return {
    path: [...path, key],
    target: "key",
    message: `unknown field ${shown}${meant ? `; did you mean "${meant}"?` : ""}`,
    ...optionalHelp(allowed.length > 0 ? `fields allowed here: ${allowed.join(", ")}` : undefined),
  };
}

function wrongType(path: Path, expected: readonly string[], input: unknown): FieldProblem[] {
  const actual = valueAt(input, path);
  const wanted = listOf([...new Set(expected.map(typeName))]);
  if (actual === undefined) return [{ path, target: "value", message: `is missing: it must be ${wanted}` }];
  const fields = allowedFields(path);
  const unquoted = expected.includes("string") && (typeof actual === "number" || typeof actual === "boolean");
  const help = unquoted
    ? `put it in quotes: "${actual}"`
    : fields.length > 0
      ? `fields allowed here: ${fields.join(", ")}`
      : undefined;
  return [{ path, target: "value", message: `must be ${wanted}, not ${describeValue(actual)}`, ...optionalHelp(help) }];
}

function optionalHelp(help: string | undefined): { help?: string } {
  return help === undefined ? {} : { help };
}

function suggestion(actual: unknown, values: readonly unknown[]): string | undefined {
  const words = values.filter((value) => typeof value === "string");
  const meant = typeof actual === "string" ? closestWord(actual, words) : undefined;
  return meant === undefined ? undefined : `did you mean "${meant}"?`;
}

function listOf(words: readonly string[]): string {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
}

function typeName(expected: string): string {
  switch (expected) {
    case "string":
      return "text";
    case "int":
    case "number":
      return "a whole number";
    case "boolean":
      return "true or false";
    case "array":
      return "a list";
    case "object":
    case "record":
      return "a map of fields";
    default:
      return expected;
  }
}

function describeValue(value: unknown): string {
  if (value === null || value === undefined) return "nothing";
  if (Array.isArray(value)) return "a list";
  switch (typeof value) {
    case "string":
      return value.length > 40 ? "text" : `the text ${JSON.stringify(value)}`;
    case "number":
      return `the number ${value}`;
    case "boolean":
      return String(value);
    default:
      return "a map";
  }
}

function valueAt(input: unknown, path: Path): unknown {
  return path.reduce<unknown>((value, part) => {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, part)) return undefined;
    return Reflect.get(value, part);
  }, input);
}

/** Names of the fields that the schema allows at a path. Empty where any name is allowed. */
function allowedFields(path: Path): readonly string[] {
  let schema: unknown = batchSpecSchema;
  for (const part of path) {
    schema = unwrap(schema);
    const definition = definitionOf(schema);
    if (definition?.type === "object") schema = Reflect.get(definition.shape ?? {}, part);
    else if (definition?.type === "array") schema = definition.element;
    else if (definition?.type === "record") schema = definition.valueType;
    else return [];
  }
  const definition = definitionOf(unwrap(schema));
  return definition?.type === "object" ? Object.keys(definition.shape ?? {}) : [];
}

interface Definition {
  readonly type: string;
  readonly shape?: object;
  readonly element?: unknown;
  readonly valueType?: unknown;
  readonly innerType?: unknown;
}

function definitionOf(schema: unknown): Definition | undefined {
  return (schema as { _zod?: { def: Definition } } | undefined)?._zod?.def;
}

function unwrap(schema: unknown): unknown {
  let inner = schema;
  for (;;) {
    const definition = definitionOf(inner);
    if (definition?.type !== "optional" && definition?.type !== "nullable") return inner;
    inner = definition.innerType;
  }
}

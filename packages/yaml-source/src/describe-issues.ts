import { closestWord } from "@airlock/job";
import type { z } from "zod";
import { allowedFields } from "./allowed-fields.ts";
import type { FieldProblem } from "./field-problem.ts";

type Issue = z.core.$ZodIssue;
type Path = readonly PropertyKey[];

/** More unknown fields of one map are not reported: looking for similar names takes time. */
const maximumKeys = 100;

/** What was checked, and against which schema. */
interface Checked {
  readonly schema: z.core.$ZodType;
  readonly input: unknown;
}

/** Describes what the schema found, for the author of the document. */
export function describeIssues(issues: readonly Issue[], checked: Checked, base: Path = []): FieldProblem[] {
  return issues.flatMap((issue) => describeIssue(issue, base, checked));
}

function describeIssue(issue: Issue, base: Path, checked: Checked): FieldProblem[] {
  const path = [...base, ...issue.path];
  const value = (message: string, help?: string): FieldProblem[] => [
    { path, target: "value", message, ...(help === undefined ? {} : { help }) },
  ];
  switch (issue.code) {
    case "unrecognized_keys":
      return issue.keys.slice(0, maximumKeys).map((key) => unknownField(path, key, checked.schema));
    case "invalid_type":
      return wrongType(path, [issue.expected], checked);
    case "invalid_value":
      return value(
        `must be one of ${issue.values.map(String).join(", ")}`,
        suggestion(valueAt(checked.input, path), issue.values),
      );
    case "invalid_union":
      return describeUnion(issue, path, checked);
    case "invalid_key":
      return [{ path, target: "key", message: invalidKey(path, issue) }];
    case "too_small":
      return value(issue.message.startsWith("Too small") ? tooSmall(issue) : issue.message);
    case "too_big":
      return value(issue.message.startsWith("Too big") ? tooBig(issue) : issue.message);
    default:
      return value(issue.message);
  }
}

function describeUnion(issue: z.core.$ZodIssueInvalidUnion, path: Path, checked: Checked): FieldProblem[] {
  // If the value's type fits only one member of the union, that member's problems say more than a list of members.
  const meant = issue.errors.filter((issues) => !issues.some((inner) => inner.path.length === 0 && isMismatch(inner)));
  const [first] = meant;
  if (first && (meant.length === 1 || !hasOwnMessage(issue))) return describeIssues(first, checked, path);
  if (hasOwnMessage(issue)) return [{ path, target: "value", message: issue.message }];
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
  if (values.length === 0) return wrongType(path, types, checked);
  const wanted = [...new Set([...types.map(typeName), ...values.map((one) => JSON.stringify(one))])];
  const actual = valueAt(checked.input, path);
  return [
    {
      path,
      target: "value",
      message: `must be ${listOf(wanted)}, not ${describeValue(actual)}`,
      ...optionalHelp(suggestion(actual, values)),
    },
  ];
}

function hasOwnMessage(issue: z.core.$ZodIssueInvalidUnion): boolean {
  return issue.message !== "Invalid input";
}

function isMismatch(issue: Issue): boolean {
  if (issue.code === "invalid_union")
    return issue.errors.every((issues) => issues.some((one) => one.path.length === 0 && isMismatch(one)));
  return issue.code === "invalid_type" || issue.code === "invalid_value";
}

function unknownField(path: Path, key: string, schema: z.core.$ZodType): FieldProblem {
  const allowed = allowedFields(schema, path);
  const meant = closestWord(key, allowed);
  return {
    path: [...path, key],
    target: "key",
    message: `unknown field ${quote(key)}${meant ? `; did you mean "${meant}"?` : ""}`,
    ...optionalHelp(allowed.length > 0 ? `fields allowed here: ${allowed.join(", ")}` : undefined),
  };
}

function wrongType(path: Path, expected: readonly string[], { schema, input }: Checked): FieldProblem[] {
  const actual = valueAt(input, path);
  const wanted = [...new Set(expected.map(typeName))].join(" or ");
  if (actual === undefined) return [{ path, target: "value", message: `is missing: it must be ${wanted}` }];
  const fields = allowedFields(schema, path);
  const unquoted = expected.includes("string") && (typeof actual === "number" || typeof actual === "boolean");
  const help = unquoted
    ? `put it in quotes: "${actual}"`
    : fields.length > 0
      ? `fields allowed here: ${fields.join(", ")}`
      : undefined;
  return [{ path, target: "value", message: `must be ${wanted}, not ${describeValue(actual)}`, ...optionalHelp(help) }];
}

function invalidKey(path: Path, issue: z.core.$ZodIssueInvalidKey): string {
  const [inner] = issue.issues;
  if (inner?.code === "too_small") return "the name must not be empty";
  return `${quote(String(path.at(-1) ?? ""))} is ${inner?.message ?? "not allowed"}`;
}

function tooSmall({ origin, minimum, inclusive }: z.core.$ZodIssueTooSmall): string {
  const isText = origin === "string";
  if (isText || origin === "array") {
    if (Number(minimum) === 1) return "must not be empty";
    return isText ? `is shorter than ${minimum} characters` : `must have at least ${minimum} entries`;
  }
  return inclusive === false ? `must be more than ${minimum}` : `must be at least ${minimum}`;
}

function tooBig({ origin, maximum, inclusive }: z.core.$ZodIssueTooBig): string {
  if (origin === "string") return `is longer than ${maximum} characters`;
  if (origin === "array") return `has more than ${maximum} entries`;
  return inclusive === false ? `must be less than ${maximum}` : `must be at most ${maximum}`;
}

function quote(key: string): string {
  return JSON.stringify(key.length > 60 ? `${key.slice(0, 60)}…` : key);
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
    case "number":
      return "a number";
    case "int":
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
    case "bigint":
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

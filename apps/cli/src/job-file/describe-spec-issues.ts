import type { z } from "zod";
import { allowedFields } from "./allowed-fields.ts";
import { closestWord } from "./closest-word.ts";
import type { SpecProblem } from "./spec-problem.ts";

/** Describes the problems that parsing a job found, for its author. `input` is what was parsed. */
export function describeSpecIssues(error: z.ZodError, input: unknown): SpecProblem[] {
  return error.issues.flatMap((issue) => describeIssue(issue, [], input));
}

type Issue = z.core.$ZodIssue;
type Path = readonly PropertyKey[];

function describeIssue(issue: Issue, base: Path, input: unknown): SpecProblem[] {
  const path = [...base, ...issue.path];
  const value = (message: string, help?: string): SpecProblem[] => [
    { path, target: "value", message, ...(help === undefined ? {} : { help }) },
  ];
  switch (issue.code) {
    case "unrecognized_keys":
      return issue.keys.map((key) => unknownField(path, key));
    case "invalid_type":
      return wrongType(path, issue.expected, input);
    case "invalid_value":
      return value(
        `must be one of ${issue.values.map(String).join(", ")}`,
        suggestion(valueAt(input, path), issue.values),
      );
    case "invalid_union":
      return describeUnion(issue, path, input);
    case "invalid_key":
      return [
        { path, target: "key", message: `${quote(path.at(-1))} is ${issue.issues[0]?.message ?? "not allowed"}` },
      ];
    case "too_small":
      return value(issue.message.startsWith("Too small") ? tooSmall(issue) : issue.message);
    case "too_big":
      return value(issue.message.startsWith("Too big") ? tooBig(issue) : issue.message);
    default:
      return value(issue.message);
  }
}

function unknownField(path: Path, key: string): SpecProblem {
  const allowed = allowedFields(path);
  const meant = closestWord(key, allowed);
  const list = allowed.length > 0 ? `fields allowed here: ${allowed.join(", ")}` : undefined;
  return {
    path: [...path, key],
    target: "key",
    message: `unknown field ${quote(key)}${meant ? `; did you mean "${meant}"?` : ""}`,
    ...(list === undefined ? {} : { help: list }),
  };
}

function wrongType(path: Path, expected: string, input: unknown): SpecProblem[] {
  const actual = valueAt(input, path);
  const wanted = typeName(expected);
  const fields = allowedFields(path);
  const help = fields.length > 0 ? `fields allowed here: ${fields.join(", ")}` : undefined;
  if (actual === undefined) return [{ path, target: "value", message: `is missing: it must be ${wanted}` }];
  const message = `must be ${wanted}, not ${describeValue(actual)}`;
  const quoted =
    expected === "string" && (typeof actual === "number" || typeof actual === "boolean")
      ? `put it in quotes: "${actual}"`
      : undefined;
  const said = quoted ?? help;
  return [{ path, target: "value", message, ...(said === undefined ? {} : { help: said }) }];
}

function describeUnion(issue: z.core.$ZodIssueInvalidUnion, path: Path, input: unknown): SpecProblem[] {
  // If the value's type fits only one member of the union, that member's problems say more than "none of these".
  const meant = issue.errors.filter(
    (issues) => !issues.some((inner) => inner.path.length === 0 && isKindMismatch(inner)),
  );
  const [only] = meant;
  if (meant.length === 1 && only) return only.flatMap((inner) => describeIssue(inner, path, input));
  const actual = valueAt(input, path);
  if (issue.message !== "Invalid input") return [{ path, target: "value", message: issue.message }];
  const wanted = issue.errors.map(([first]) =>
    first?.code === "invalid_type" ? typeName(first.expected) : "another value",
  );
  return [
    {
      path,
      target: "value",
      message: `must be ${[...new Set(wanted)].join(" or ")}, not ${describeValue(actual)}`,
    },
  ];
}

function isKindMismatch(issue: Issue): boolean {
  return issue.code === "invalid_type" || issue.code === "invalid_value";
}

function suggestion(actual: unknown, values: readonly unknown[]): string | undefined {
  const meant = typeof actual === "string" ? closestWord(actual, values.map(String)) : undefined;
  return meant === undefined ? undefined : `did you mean "${meant}"?`;
}

function tooSmall(issue: z.core.$ZodIssueTooSmall): string {
  if (issue.origin === "string")
    return Number(issue.minimum) === 1 ? "must not be empty" : `is shorter than ${issue.minimum} characters`;
  if (issue.origin === "array")
    return `must have at least ${issue.minimum} ${Number(issue.minimum) === 1 ? "entry" : "entries"}`;
  return issue.inclusive === false ? `must be more than ${issue.minimum}` : `must be at least ${issue.minimum}`;
}

function tooBig(issue: z.core.$ZodIssueTooBig): string {
  if (issue.origin === "string") return `is longer than ${issue.maximum} characters`;
  if (issue.origin === "array") return `has more than ${issue.maximum} entries`;
  return issue.inclusive === false ? `must be less than ${issue.maximum}` : `must be at most ${issue.maximum}`;
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

function quote(key: PropertyKey | undefined): string {
  const text = String(key ?? "");
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}

function valueAt(input: unknown, path: Path): unknown {
  return path.reduce<unknown>((value, part) => {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, part)) return undefined;
    return Reflect.get(value, part);
  }, input);
}

// Writes docs/job-file-reference.md from the schema of jobs. With --check it only reports whether the file is stale.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { JobSpec } from "@airlock/api";
import { z } from "zod";
import { root } from "./programs/run.ts";

/** The part of JSON Schema that the schema of jobs uses. */
interface Schema {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly additionalProperties?: Schema | false;
  readonly anyOf?: readonly Schema[];
  readonly enum?: readonly string[];
  readonly const?: string;
  readonly examples?: readonly string[];
  readonly minimum?: number;
  readonly exclusiveMinimum?: number;
  readonly maximum?: number;
  readonly maxItems?: number;
}

const schema = z.toJSONSchema(JobSpec, { io: "input" }) as Schema;
const objects = [
  { title: "The job", schema },
  ...objectsIn(schema, "").map(({ name, schema }) => ({ title: `\`${name}\``, schema })),
];
const text = `# Job file reference

<!-- Written by \`node scripts/job-file-reference.ts\` from packages/api/src/job. Don't edit it. -->

Every field of a job file and of the body of \`POST /api/v1/jobs\`. [Job files](job-file.md) explains how they work
together. A field that is not listed here is refused.

${objects.map(({ title, schema }) => `## ${title}\n\n${table(schema)}`).join("\n")}`;

const file = path.join(root, "docs/job-file-reference.md");
if (!process.argv.includes("--check")) writeFileSync(file, text);
else if (!existsSync(file) || readFileSync(file, "utf8") !== text) {
  console.error("docs/job-file-reference.md is stale: run node scripts/job-file-reference.ts");
  process.exitCode = 1;
}

/** The objects with fields inside a schema, by the name of the field that holds them. */
function objectsIn(schema: Schema, name: string): { readonly name: string; readonly schema: Schema }[] {
  const own = schema.properties && name !== "" ? [{ name, schema }] : [];
  const fields = Object.entries(schema.properties ?? {}).flatMap(([field, value]) =>
    objectsIn(value, name === "" ? field : `${name}.${field}`),
  );
  const items = schema.items ? objectsIn(schema.items, `${name}[]`) : [];
  return [...own, ...items, ...(schema.anyOf ?? []).flatMap((part) => objectsIn(part, name)), ...fields];
}

function table({ properties = {}, required = [] }: Schema): string {
  const rows = Object.entries(properties).map(([name, field]) => {
    if (field.description === undefined) throw new Error(`the field ${name} of jobs has no description`);
    const cells = [`\`${name}\``, words(field), defaultWords(field, required.includes(name)), field.description];
    return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |\n`;
  });
  return `| field | value | default | meaning |\n|---|---|---|---|\n${rows.join("")}`;
}

function defaultWords(field: Schema, required: boolean): string {
  if (required) return "required";
  const value = field.default;
  if (value === undefined || value === "" || (typeof value === "object" && value !== null)) return "–";
  return `\`${String(value)}\``;
}

/** What a value looks like, in a few words. */
function words(schema: Schema): string {
  if (schema.const !== undefined) return `\`${schema.const}\``;
  if (schema.enum) return schema.enum.map((value) => `\`${value}\``).join(", ");
  if (schema.examples) return `text such as ${schema.examples.map((value) => `\`${value}\``).join(" or ")}`;
  if (schema.anyOf) return schema.anyOf.map(words).join(", or ");
  if (Array.isArray(schema.type)) return "text, number or boolean";
  if (schema.type === "array") return `list of ${plural(words(schema.items ?? {}))}${atMost(schema.maxItems)}`;
  if (schema.type === "object" && schema.properties) return "fields, see below";
  if (schema.type === "object") return `names with ${plural(words(schema.additionalProperties || {}))}`;
  if (schema.type === "integer" || schema.type === "number") return `number${range(schema)}`;
  if (schema.type === "boolean") return "`true` or `false`";
  return "text";
}

function plural(words: string): string {
  if (words === "text") return "texts";
  return words === "fields, see below" ? "objects, see below" : words;
}

function atMost(count: number | undefined): string {
  return count === undefined || count === 1 ? "" : `, at most ${count}`;
}

function range({ minimum, exclusiveMinimum, maximum }: Schema): string {
  if (maximum === undefined || maximum === Number.MAX_SAFE_INTEGER) return "";
  return exclusiveMinimum === undefined ? ` from ${minimum} to ${maximum}` : ` up to ${maximum}`;
}

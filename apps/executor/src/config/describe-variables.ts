import type { z } from "zod";
import { variableGroups } from "./environment.ts";

/** Documentation of one variable. */
interface DescribedVariable {
  readonly name: string;
  /** As an administrator would write it, or in words; empty without a default. */
  readonly default: string;
  /** The permitted values, in words. */
  readonly values: string;
  /** One sentence. */
  readonly description: string;
}

export interface VariableGroup {
  readonly title: string;
  readonly variables: readonly DescribedVariable[];
}

/** Describes all variables of the executor, from the schemas that parse them. */
export function describeVariables(): VariableGroup[] {
  return Object.entries(variableGroups).map(([title, group]) => ({
    title,
    variables: Object.entries(group).map(([name, schema]) => describe(name, schema)),
  }));
}

/** @throws {Error} when the schema has no description: an undocumented variable is a defect. */
function describe(name: string, schema: z.ZodType): DescribedVariable {
  const found: { default?: string; values?: string; description?: string } = {};
  for (const layer of layers(schema)) {
    const meta = layer.meta() ?? {};
    if (typeof meta.description === "string") found.description ??= meta.description;
    if (typeof meta.default === "string") found.default ??= meta.default;
    if (typeof meta.values === "string") found.values ??= meta.values;
    const { def } = layer as z.ZodType & { def: { type: string; defaultValue?: unknown; entries?: object } };
    if (def.type === "default") found.default ??= String(def.defaultValue);
    if (def.type === "enum") found.values ??= enumValues(def.entries ?? {});
  }
  const { description, default: fallback = "", values = "text" } = found;
  if (description === undefined) throw new Error(`the variable ${name} has no description`);
  return { name, default: fallback, values, description };
}

function enumValues(entries: object): string {
  return Object.values(entries)
    .map((value) => `\`${value}\``)
    .join(", ");
}

/** Yields the schema and the schemas that it wraps, outermost first. */
function* layers(schema: z.ZodType): Generator<z.ZodType> {
  yield schema;
  const { def } = schema as z.ZodType & { def: { innerType?: z.ZodType; in?: z.ZodType; out?: z.ZodType } };
  for (const inner of [def.innerType, def.in, def.out]) if (inner) yield* layers(inner);
}

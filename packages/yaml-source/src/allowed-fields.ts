import { z } from "zod";

/** Names of the fields that a schema allows at a path. Empty if the names are not fixed. */
export function allowedFields(schema: Schema, path: readonly PropertyKey[]): string[] {
  const inner = path.reduce<Schema | undefined>((at, part) => (at ? member(at, part) : undefined), schema);
  const object = inner ? objectIn(inner) : undefined;
  return object ? Object.keys(object.shape) : [];
}

type Schema = z.core.$ZodType;

function member(schema: Schema, part: PropertyKey): Schema | undefined {
  const inner = unwrap(schema);
  if (inner instanceof z.ZodArray) return inner.element;
  if (inner instanceof z.ZodRecord) return inner.valueType;
  return objectIn(inner)?.shape[String(part)];
}

/** The object schema of a value, or of one member of its union. At most one member is an object. */
function objectIn(schema: Schema): z.ZodObject | undefined {
  const inner = unwrap(schema);
  if (inner instanceof z.ZodObject) return inner;
  if (inner instanceof z.ZodUnion) {
    for (const option of inner.options) {
      const found = objectIn(option);
      if (found) return found;
    }
  }
  return undefined;
}

function unwrap(schema: Schema): Schema {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault || schema instanceof z.ZodNullable) {
    return unwrap(schema.unwrap());
  }
  return schema instanceof z.ZodPipe ? unwrap(schema.in) : schema;
}

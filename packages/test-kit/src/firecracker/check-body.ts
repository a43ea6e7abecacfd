import type { Field } from "./api-description.ts";

/** Returns why a body does not fit the description, in words like those of Firecracker. `null`: it fits. */
export function problemOfBody(value: unknown, field: Field, name = "body"): string | null {
  switch (field.type) {
    case "string":
      if (typeof value !== "string") return `invalid type for \`${name}\`, expected a string`;
      if (field.values && !field.values.includes(value)) {
        return `unknown variant \`${value}\`, expected one of ${field.values.map((known) => `\`${known}\``).join(", ")}`;
      }
      return null;
    case "integer": {
      const { min = -Infinity, max = Number.MAX_SAFE_INTEGER } = field;
      const fits = typeof value === "number" && Number.isInteger(value) && value >= min && value <= max;
      return fits ? null : `invalid value for \`${name}\`, expected an integer`;
    }
    case "boolean":
      return typeof value === "boolean" ? null : `invalid type for \`${name}\`, expected a boolean`;
    case "array": {
      if (!Array.isArray(value)) return `invalid type for \`${name}\`, expected a sequence`;
      return value.map((item) => problemOfBody(item, field.items, name)).find((problem) => problem !== null) ?? null;
    }
    case "object": {
      if (typeof value !== "object" || value === null || Array.isArray(value)) {
        return `invalid type for \`${name}\`, expected a map`;
      }
      for (const [key, part] of Object.entries(value)) {
        const known = field.fields[key];
        if (!known) return `unknown field \`${key}\``;
        const problem = problemOfBody(part, known, key);
        if (problem !== null) return problem;
      }
      const missing = Object.keys(field.fields).find((key) => field.fields[key]?.required && !(key in value));
      return missing === undefined ? null : `missing field \`${missing}\``;
    }
  }
}

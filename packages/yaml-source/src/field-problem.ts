/** One problem of a document, with the path of the field. */
export interface FieldProblem {
  readonly path: readonly PropertyKey[];
  /** Whether the field's name or its value is wrong. */
  readonly target: "key" | "value";
  readonly message: string;
  /** The allowed values, or the probably intended one. */
  readonly help?: string;
}

/** `["steps", 0, "image"]` → `steps[0].image`. */
export function formatPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === "number") return `${text}[${part}]`;
    return text ? `${text}.${String(part)}` : String(part);
  }, "");
}

/** One problem of a job, with the path of the field. */
export interface SpecProblem {
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

/** Parses `steps[0].image: no such image`, the instance's format for issues, into path and message. */
export function parseIssueLine(line: string): SpecProblem {
  const match = /^((?:[\w$-]+|\[\d+\]|\.(?=[\w$-]))+): ([\s\S]*)$/.exec(line);
  if (!match) return { path: [], target: "value", message: line };
  const path = [...(match[1] ?? "").matchAll(/\[(\d+)\]|([\w$-]+)/g)].map(([, index, name]) =>
    index === undefined ? (name ?? "") : Number(index),
  );
  return { path, target: "value", message: match[2] ?? "" };
}

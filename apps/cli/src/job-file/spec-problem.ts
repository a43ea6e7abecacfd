/** One thing that is wrong with a job, at a place that a path names. */
export interface SpecProblem {
  readonly path: readonly PropertyKey[];
  /** Whether the name of the field is wrong, or its value. */
  readonly target: "key" | "value";
  readonly message: string;
  /** What is allowed, or what was probably meant. */
  readonly help?: string;
}

/** `["steps", 0, "image"]` → `steps[0].image`. */
export function formatPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === "number") return `${text}[${part}]`;
    return text ? `${text}.${String(part)}` : String(part);
  }, "");
}

/** `steps[0].image: no such image` → its path and message, as the instance writes issues. */
export function parseIssueLine(line: string): SpecProblem {
  const match = /^((?:[\w$-]+|\[\d+\]|\.(?=[\w$-]))+): ([\s\S]*)$/.exec(line);
  if (!match) return { path: [], target: "value", message: line };
  const path = [...(match[1] ?? "").matchAll(/\[(\d+)\]|([\w$-]+)/g)].map(([, index, name]) =>
    index === undefined ? (name ?? "") : Number(index),
  );
  return { path, target: "value", message: match[2] ?? "" };
}

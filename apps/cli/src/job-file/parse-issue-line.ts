import type { FieldProblem } from "@airlock/yaml-source";

/** Parses `steps[0].image: no such image`, the instance's format for issues, into path and message. */
export function parseIssueLine(line: string): FieldProblem {
  const match = /^((?:[\w$-]+|\[\d+\]|\.(?=[\w$-]))+): ([\s\S]*)$/.exec(line);
  if (!match) return { path: [], target: "value", message: line };
  const path = [...(match[1] ?? "").matchAll(/\[(\d+)\]|([\w$-]+)/g)].map(([, index, name]) =>
    index === undefined ? (name ?? "") : Number(index),
  );
  return { path, target: "value", message: match[2] ?? "" };
}

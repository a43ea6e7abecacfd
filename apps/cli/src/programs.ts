import path from "node:path";

/** The programs that the command line starts as processes of their own; it never imports them. */
export type ProgramName = "instance" | "executor";

/**
 * The file that Node runs for a program: from the sources `apps/NAME/src/main.ts` of this checkout, from a bundle its
 * sibling `NAME.mjs`.
 */
export function programPath(name: ProgramName): string {
  if (import.meta.filename.endsWith(".ts")) return path.resolve(import.meta.dirname, "../..", name, "src/main.ts");
  return path.join(import.meta.dirname, `${name}.mjs`);
}

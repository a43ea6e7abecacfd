import path from "node:path";

/** The programs that the command line starts as processes of their own; it never imports them. */
export type ProgramName = "instance" | "executor";

/**
 * The file that Node runs for a program: from the sources `apps/NAME/src/main.ts` of this checkout, from a bundle its
 * sibling `NAME.mjs`.
 */
function programPath(name: ProgramName): string {
  if (import.meta.filename.endsWith(".ts")) return path.resolve(import.meta.dirname, "../../..", name, "src/main.ts");
  return path.join(import.meta.dirname, `${name}.mjs`);
}

/**
 * What Node gets for a program, before its file. The instance holds thousands of requests that wait; a large young
 * generation would fill with what of them is long dead. It only works as a flag, before V8 has laid out its heap.
 */
export function programArguments(name: ProgramName): string[] {
  return [...(name === "instance" ? ["--max-semi-space-size=4"] : []), programPath(name)];
}

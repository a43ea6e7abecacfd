import path from "node:path";

/** The programs that the command line starts in their own processes. It never imports them. */
export type ProgramName = "instance" | "executor";

/** The program's file: `apps/NAME/src/main.ts` in a source checkout, or `NAME.mjs` next to this file in a bundle. */
function programPath(name: ProgramName): string {
  if (import.meta.filename.endsWith(".ts")) return path.resolve(import.meta.dirname, "../../..", name, "src/main.ts");
  return path.join(import.meta.dirname, `${name}.mjs`);
}

/**
 * Node's arguments for a program, up to its file.
 * The instance holds thousands of waiting requests. A large young generation would fill with their garbage, so it is
 * limited. The limit works only as a flag: V8 must know it before it creates its heap.
 */
export function programArguments(name: ProgramName): string[] {
  return [...(name === "instance" ? ["--max-semi-space-size=4"] : []), programPath(name)];
}

import { spawn } from "node:child_process";
import path from "node:path";

/** The repository's root directory. */
export const root = path.dirname(path.dirname(import.meta.dirname));

/**
 * Runs a program with inherited output and resolves with its exit code (129 if a signal ended it). `program` is `node`
 * for the Node that runs this script, else a path or a name on PATH.
 */
export function run(program: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): Promise<number> {
  const child = spawn(program === "node" ? process.execPath : program, args, { cwd: root, stdio: "inherit", env });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (code) => resolve(code ?? 129));
  });
}

/**
 * The JavaScript file of a tool in node_modules. Run it with `run("node", …)`, so that the machine's own Node does not
 * matter.
 */
export function tool(relativePath: string): string {
  return path.join(root, "node_modules", relativePath);
}

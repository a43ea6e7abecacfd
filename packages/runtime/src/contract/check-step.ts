import { posix } from "node:path";
import { refusedByPolicy } from "./errors.ts";
import type { SandboxStep } from "./step.ts";

/**
 * Validates the paths and variables of a step.
 * @throws {AirlockError} reason `policy` when one of them is not allowed.
 */
export function checkStep(step: SandboxStep): void {
  const inside = (path: string, root: string) =>
    posix.normalize(path) === path.replace(/\/$/, "") &&
    (path === root || path.startsWith(`${root}/`)) &&
    !path.includes("\0");
  if (!inside(step.script, "/airlock"))
    throw refusedByPolicy("the script is not under /airlock", "Put the script there.");
  if (!inside(step.workingDirectory, "/data")) {
    throw refusedByPolicy(
      `the working directory ${JSON.stringify(step.workingDirectory.slice(0, 200))} is not under /data`,
      "Name a directory of the workspace.",
    );
  }
  for (const [name, value] of Object.entries(step.env)) {
    if (name === "" || /[=\0]/.test(name) || value.includes("\0")) {
      throw refusedByPolicy(
        `the environment variable ${JSON.stringify(name.slice(0, 100))} can't be set`,
        "Use names without = and values without NUL.",
      );
    }
  }
}

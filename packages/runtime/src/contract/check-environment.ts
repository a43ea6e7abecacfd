import {
  environmentBytes,
  formatBytes,
  maximumEnvironmentBytes,
  maximumVariableBytes,
  variableBytes,
} from "@airlock/job";
import { refusedByPolicy } from "./errors.ts";

/**
 * Rejects an environment with which the kernel would not start a step. Engines would report that only in the step's own
 * output.
 * @throws {AirlockError} reason `policy`.
 */
export function checkEnvironment(env: Readonly<Record<string, string>>): void {
  const sizes = Object.entries(env).map(([name, value]) => [name, variableBytes(name, value)] as const);
  for (const [name, bytes] of sizes) {
    if (bytes <= maximumVariableBytes) continue;
    throw refusedByPolicy(
      `the environment variable ${name.slice(0, 100)} is ${bytes} bytes long with its name; the kernel takes ${maximumVariableBytes} at most`,
      "Give the step a file with the value in place of the variable.",
    );
  }
  const all = environmentBytes(sizes.map(([, bytes]) => bytes));
  if (all <= maximumEnvironmentBytes) return;
  throw refusedByPolicy(
    `the step's ${sizes.length} variables are ${formatBytes(all)} long together; a step takes ${formatBytes(maximumEnvironmentBytes)} at most`,
    "Give the step files with the long values in place of variables.",
  );
}

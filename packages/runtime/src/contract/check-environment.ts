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
      `the environment variable ${name.slice(0, 100)} is ${bytes} bytes long including its name; the kernel allows at most ${maximumVariableBytes}`,
      "Put the value into a file instead of a variable.",
    );
  }
  const all = environmentBytes(sizes.map(([, bytes]) => bytes));
  if (all <= maximumEnvironmentBytes) return;
  throw refusedByPolicy(
    `the step's ${sizes.length} variables are ${formatBytes(all)} in total; the limit per step is ${formatBytes(maximumEnvironmentBytes)}`,
    "Put long values into files instead of variables.",
  );
}

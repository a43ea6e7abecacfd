import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { DockerEngineOptions } from "./docker-engine.ts";
import type { EngineName } from "./engines-contract.ts";
import type { RunningEngines } from "./run-engines.ts";

/** Starts private engines in a separate process, which ends together with all of them when this process ends. */
export async function startEngines(
  names: Iterable<EngineName>,
  options: { readonly docker?: DockerEngineOptions } = {},
): Promise<RunningEngines> {
  const main = fileURLToPath(new URL("engines-main.ts", import.meta.url));
  const child = spawn(process.execPath, [main, JSON.stringify(options), ...names], {
    // A separate session: Ctrl-C must reach the suites first. The engines end after them.
    detached: true,
    stdio: ["pipe", "pipe", "inherit"],
  });
  child.stdin.on("error", () => {});
  const exited = once(child, "exit");
  let started: Pick<RunningEngines, "engines" | "directory"> | undefined;
  for await (const line of createInterface({ input: child.stdout })) {
    started = JSON.parse(line) as typeof started;
    break;
  }
  if (!started) throw new Error("the engines' process ended before they were ready");
  return {
    ...started,
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await exited;
    },
  };
}

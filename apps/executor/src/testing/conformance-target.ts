import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { compileCacheEnvironment, type ExecutorTarget } from "@airlock/test-kit";

/** Runs this executor in the conformance suite: the program with the oci runtime, and steps in the host image. */
export async function conformanceTarget(directory: string): Promise<ExecutorTarget> {
  return {
    image: "host",
    start: async (environment) => {
      const child = spawn(process.execPath, [join(import.meta.dirname, "..", "main.ts"), "run"], {
        env: {
          PATH: process.env.PATH ?? "",
          ...compileCacheEnvironment(),
          HOME: directory,
          EXECUTOR_RUNTIME: "oci",
          EXECUTOR_ALLOW_HOST_IMAGE: "true",
          // A network would change this machine's own network, which tests must not do.
          EXECUTOR_DEFAULT_EGRESS: "none",
          EXECUTOR_DATA_DIR: directory,
          ...environment,
        },
      });
      let output = "";
      for (const stream of [child.stdout, child.stderr]) {
        stream.on("data", (bytes: Buffer) => {
          output += bytes.toString();
        });
      }
      const exited = once(child, "close").then(() => child.exitCode);
      return {
        kill: (signal) => void child.kill(signal),
        exited,
        output: () => output,
        [Symbol.asyncDispose]: async () => {
          // Two signals: the second one makes it hand back its jobs before it ends.
          child.kill("SIGTERM");
          child.kill("SIGINT");
          await exited;
        },
      };
    },
  };
}

import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { HostNetwork } from "../../egress/host/host-network.ts";
import { toolEnv } from "../../egress/host/run-tool.ts";

const program = fileURLToPath(new URL("static-server-main.ts", import.meta.url));

/** Starts a web server for the files of a directory, in a network namespace. */
export async function startStaticServer(options: {
  readonly namespacePath: string;
  readonly directory: string;
  readonly address: string;
  readonly port: number;
}): Promise<AsyncDisposable> {
  const words = [process.execPath, program, options.directory, options.address, String(options.port)];
  const [file = "", ...args] = new HostNetwork(options.namespacePath).command(...words);
  const child = spawn(file, args, { stdio: ["pipe", "pipe", "inherit"], env: toolEnv });
  child.stdin.on("error", () => {});
  const exited = once(child, "exit");
  const ended = exited.then(() => Promise.reject(new Error("the package sources do not start")));
  await Promise.race([once(child.stdout, "data"), ended]);
  ended.catch(() => {});
  return {
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await exited;
    },
  };
}

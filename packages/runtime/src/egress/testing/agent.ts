import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { HostNetwork } from "../host/host-network.ts";
import { toolEnv } from "../host/run-tool.ts";
import type { AgentAnswer, AgentCall, AgentRequest } from "./agent-messages.ts";

const program = fileURLToPath(new URL("./agent-main.ts", import.meta.url));

/** A test's process in a network namespace. */
export interface Agent extends AsyncDisposable {
  ask(request: AgentRequest): Promise<readonly string[]>;
  /** Sends a request that has one answer. */
  try(request: AgentRequest): Promise<string>;
}

export async function startAgent(namespacePath: string): Promise<Agent> {
  const [file = "", ...args] = new HostNetwork(namespacePath).command(process.execPath, program);
  const child = spawn(file, args, {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
    env: toolEnv,
  });
  const waiting = new Map<number, (result: readonly string[]) => void>();
  const ready = new Promise<readonly string[]>((resolve) => waiting.set(0, resolve));
  child.on("message", (answer: AgentAnswer) => {
    waiting.get(answer.id)?.(answer.result);
    waiting.delete(answer.id);
  });
  const exited = once(child, "exit");
  await Promise.race([
    ready,
    exited.then(() => {
      throw new Error("the agent does not start");
    }),
  ]);
  let calls = 0;
  const ask = (request: AgentRequest): Promise<readonly string[]> => {
    calls += 1;
    const id = calls;
    const answered = new Promise<readonly string[]>((resolve) => waiting.set(id, resolve));
    child.send({ id, request } satisfies AgentCall);
    return answered;
  };
  return {
    ask,
    try: async (request) => (await ask(request))[0] ?? "",
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
      await exited;
    },
  };
}

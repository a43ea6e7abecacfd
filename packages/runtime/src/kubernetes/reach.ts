import { Writable } from "node:stream";
import { Exec, type KubeConfig } from "@kubernetes/client-node";
import { runtimeFailed } from "../contract/errors.ts";
import { type CallOptions, callApi } from "./call-api.ts";
import { type AgentPlace, agentContainer } from "./connect-agent.ts";

/** A TCP port to connect to. */
export interface ReachTarget {
  readonly address: string;
  readonly port: number;
}

/** Includes one repetition of a lost packet, which the kernel sends after a second. */
const connectMs = 1_500;

/**
 * Asks a pod's agent which addresses it reaches: the API server, and then the others in their order. The agent is in the
 * same network as the steps.
 * @throws {AirlockError} reason `runtime` when the agent gives no answer.
 */
export async function askReach(
  config: KubeConfig,
  place: AgentPlace,
  targets: readonly ReachTarget[],
  calls: CallOptions,
): Promise<readonly boolean[]> {
  const { answer, problem } = await callApi(() => askAgent(config, place, targets), calls);
  const lines = answer.split("\n").slice(0, -1);
  if (lines.length === targets.length + 1 && lines.every((line) => line === "open" || line === "closed"))
    return lines.map((line) => line === "open");
  throw runtimeFailed(
    `the agent can't tell whether the network of the job's pod is closed: ${problem ?? "it gave no answer"}`,
    undefined,
    "Use the agent image of the executor's version.",
  );
}

interface AgentAnswer {
  readonly answer: string;
  /** What the kubelet says about the agent's end. */
  readonly problem: string | undefined;
}

async function askAgent(
  config: KubeConfig,
  { namespace, pod }: AgentPlace,
  targets: readonly ReachTarget[],
): Promise<AgentAnswer> {
  const ended = Promise.withResolvers<string | undefined>();
  const output = collected();
  const errors = collected();
  const words = targets.flatMap(({ address, port }) => [address, String(port)]);
  const command = ["/agent", "reach", String(connectMs), ...words];
  const socket = await new Exec(config).exec(
    namespace,
    pod,
    agentContainer,
    command,
    output.stream,
    errors.stream,
    null,
    false,
    ({ message }) => ended.resolve(message),
  );
  socket.onclose = () => ended.reject(runtimeFailed("the API server closed the connection to the job's pod"));
  socket.onerror = () => ended.reject(runtimeFailed("the connection to the job's pod failed"));
  try {
    const message = await ended.promise;
    return { answer: output.text(), problem: errors.text().trim() || message };
  } finally {
    socket.close();
  }
}

function collected() {
  const chunks: Buffer[] = [];
  const stream = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      chunks.push(chunk);
      done();
    },
  });
  return { stream, text: () => Buffer.concat(chunks).toString() };
}

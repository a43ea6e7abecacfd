import { Writable } from "node:stream";
import { pause } from "@airlock/async";
import { Exec, type KubeConfig } from "@kubernetes/client-node";
import { runtimeFailed } from "../contract/errors.ts";
import { type CallOptions, callApi } from "./call-api.ts";
import { type AgentPlace, agentContainer } from "./connect-agent.ts";

/** Includes one repetition of a lost packet, which the kernel sends after a second. */
const connectMs = 1_500;
/** Network plugins apply policies to a new pod with a delay. */
const enforcedWithinMs = 10_000;
const againMs = 500;

/**
 * Proves that a pod's policy is enforced on its node: its agent tries to reach the API server. The API server accepts
 * NetworkPolicies also where no network plugin enforces them.
 * @throws {AirlockError} reason `runtime` when the network is open, because another executor's cluster may close it.
 */
export async function proveClosedNetwork(config: KubeConfig, place: AgentPlace, calls: CallOptions): Promise<void> {
  const until = performance.now() + enforcedWithinMs;
  for (;;) {
    const { answer, problem } = await callApi(() => askAgent(config, place), calls);
    if (answer === "closed\n") return;
    if (answer !== "open\n") {
      throw runtimeFailed(
        `the agent can't tell whether the network of the job's pod is closed: ${problem ?? "it gave no answer"}`,
        undefined,
        "Use the agent image of the executor's version.",
      );
    }
    if (performance.now() > until) {
      throw runtimeFailed(
        "the cluster does not enforce the NetworkPolicy of the job's pod, which reaches the API server",
        undefined,
        "Install a network plugin that enforces NetworkPolicies, and remove policies that open the namespace's pods.",
      );
    }
    await pause(againMs, calls.signal);
  }
}

interface AgentAnswer {
  readonly answer: string;
  /** What the kubelet says about the agent's end. */
  readonly problem: string | undefined;
}

async function askAgent(config: KubeConfig, { namespace, pod }: AgentPlace): Promise<AgentAnswer> {
  const ended = Promise.withResolvers<string | undefined>();
  const output = collected();
  const errors = collected();
  const command = ["/agent", "reach", String(connectMs)];
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

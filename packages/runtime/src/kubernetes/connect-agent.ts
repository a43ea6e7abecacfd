import { PassThrough } from "node:stream";
import { Exec, type KubeConfig } from "@kubernetes/client-node";
import { runtimeFailed } from "../contract/errors.ts";
import type { AgentLink, AgentLinkEvents } from "./agent-session.ts";

export interface AgentPlace {
  readonly namespace: string;
  readonly pod: string;
}

/** The name of the agent's container. */
export const agentContainer = "agent";
const attachCommand = ["/agent", "attach"];
const stdinChannel = 0;

/** Opens a connection to the session of a pod's agent, by the API server's `exec`. */
export async function connectAgent(
  config: KubeConfig,
  { namespace, pod }: AgentPlace,
  { onData, onClose }: AgentLinkEvents,
): Promise<AgentLink> {
  const stdout = new PassThrough();
  stdout.on("data", onData);
  const stderr = new PassThrough();
  stderr.resume();
  const socket = await new Exec(config).exec(
    namespace,
    pod,
    agentContainer,
    attachCommand,
    stdout,
    stderr,
    // Only asks for the channel. What is sent goes to the socket directly.
    new PassThrough(),
    false,
    ({ message }) => onClose(runtimeFailed(message ?? "the connection to the job's pod ended")),
  );
  socket.onclose = () => onClose(runtimeFailed("the API server closed the connection to the job's pod"));
  socket.onerror = () => onClose(runtimeFailed("the connection to the job's pod failed"));
  return {
    send: (bytes) => socket.send(Buffer.concat([Buffer.of(stdinChannel), bytes])),
    close: () => socket.close(),
  };
}

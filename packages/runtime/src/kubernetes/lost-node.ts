import type { V1Pod } from "@kubernetes/client-node";
import { runtimeFailed } from "../contract/errors.ts";
import type { AgentSession } from "./agent-session.ts";
import type { PodWatch } from "./pod-watch.ts";

interface LostNodeOptions {
  /** How long the agent may be silent while its node counts as lost. */
  readonly patienceMs: number;
  readonly signal: AbortSignal;
}

/**
 * Waits until the cluster has lost a pod's node, and the pod's agent is silent, too. A node without its kubelet may still
 * run the job.
 * @returns the error for the job. Reason `runtime`, because another node can run it.
 */
export async function nodeLost(
  watch: PodWatch,
  name: string,
  session: AgentSession,
  { patienceMs, signal }: LostNodeOptions,
): Promise<Error> {
  for (;;) {
    const node = await watch.until(name, (pod) => lostNode(pod) ?? undefined, signal);
    const lostAt = performance.now();
    session.ask();
    const patience = AbortSignal.timeout(patienceMs);
    try {
      await watch.until(name, (pod) => (lostNode(pod) ? undefined : true), AbortSignal.any([signal, patience]));
    } catch (error) {
      if (signal.aborted || !patience.aborted) throw error;
      if (session.heardAt < lostAt) {
        return runtimeFailed(
          `the node ${node} is lost: it is not ready, and the job's pod does not answer`,
          undefined,
          "Look at the node's conditions with `kubectl describe node`.",
        );
      }
    }
  }
}

/**
 * The name of a pod's node if the cluster has lost it, else `null`. An executor may not read nodes. When a node stops
 * reporting, the node controller changes this one condition of its pods. The kubelet would change both.
 */
function lostNode(pod: V1Pod | null): string | null {
  const conditions = pod?.status?.conditions ?? [];
  const has = (type: string, status: string) => conditions.some((each) => each.type === type && each.status === status);
  const isLost = pod?.status?.phase === "Running" && has("Ready", "False") && has("ContainersReady", "True");
  return isLost ? (pod.spec?.nodeName ?? "") : null;
}

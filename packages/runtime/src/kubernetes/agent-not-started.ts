import { type AirlockError, formatDuration } from "@airlock/job";
import type { V1Pod } from "@kubernetes/client-node";
import { runtimeFailed } from "../contract/errors.ts";

/** The error of a pod that has a node, and whose agent did not answer in time. Another node may be quicker. */
export function agentNotStarted(pod: V1Pod | null, timeoutMs: number): AirlockError {
  return runtimeFailed(
    `the agent of the job's pod did not start within ${formatDuration(timeoutMs)}: ${stateOf(pod)}`,
    undefined,
    "Look at the pod's events, or raise EXECUTOR_KUBERNETES_START_TIMEOUT if nodes pull the agent's image slowly.",
  );
}

function stateOf(pod: V1Pod | null): string {
  if (pod?.status?.phase === "Running") return "it runs, and does not answer";
  const { reason = "the kubelet has reported nothing", message } =
    pod?.status?.containerStatuses?.[0]?.state?.waiting ?? {};
  return message ? `${reason}: ${message}` : reason;
}

import { formatDuration } from "@airlock/job";
import type { V1Pod } from "@kubernetes/client-node";
import { runtimeFailed } from "../contract/errors.ts";
import type { PodWatch } from "./pod-watch.ts";

interface SchedulingOptions {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** Called with the scheduler's reason as soon as it has one, and when it changes. */
  readonly onWait: ((reason: string) => void) | undefined;
}

const hint =
  "Check the job's resources against those of the nodes, and EXECUTOR_KUBERNETES_NODE_SELECTOR, _NODE_TOLERATIONS and the affinities.";

/**
 * Waits until a pod has a node. A cluster may first have to add one.
 * @throws {AirlockError} reason `runtime` with the scheduler's reason, because another executor may have room.
 */
export async function scheduled(
  watch: PodWatch,
  name: string,
  { timeoutMs, signal, onWait }: SchedulingOptions,
): Promise<void> {
  const patience = AbortSignal.timeout(timeoutMs);
  let reason: string | undefined;
  const probe = (pod: V1Pod | null) => {
    if (pod?.spec?.nodeName) return true;
    const next = whyUnscheduled(pod);
    if (next !== undefined && next !== reason) onWait?.(`no node has room for the job yet: ${next}`);
    reason = next ?? reason;
    return undefined;
  };
  try {
    await watch.until(name, probe, AbortSignal.any([signal, patience]));
  } catch (error) {
    if (signal.aborted || !patience.aborted) throw error;
    const problem = `no node ran the job's pod within ${formatDuration(timeoutMs)}`;
    throw runtimeFailed(`${problem}: ${reason ?? "the scheduler gave no reason"}`, undefined, hint);
  }
}

function whyUnscheduled(pod: V1Pod | null): string | undefined {
  const condition = pod?.status?.conditions?.find(({ type }) => type === "PodScheduled");
  return condition?.status === "False" ? condition.message : undefined;
}

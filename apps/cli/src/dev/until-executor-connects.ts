import { ExecutorList } from "@airlock/api";
import { pause } from "@airlock/async";
import type { InstanceClient } from "../instance/instance-client.ts";

const pollMs = 50;

/**
 * Waits until an executor contacts the instance. Contacts from before the call don't count: they are of an earlier
 * session.
 */
export async function untilExecutorConnects(client: InstanceClient, signal: AbortSignal): Promise<void> {
  const beganAt = Date.now();
  for (;;) {
    const { executors } = await client.json(ExecutorList, "executors", { signal });
    if (executors.some(({ lastSeenAt }) => Date.parse(lastSeenAt) >= beganAt)) return;
    if (!(await pause(pollMs, signal))) signal.throwIfAborted();
  }
}

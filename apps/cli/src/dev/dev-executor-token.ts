import { CreatedExecutorToken, ExecutorTokenList } from "@airlock/api";
import { UsageError } from "../context/command-error.ts";
import type { InstanceClient } from "../instance/instance-client.ts";

const tokenName = "airlock dev";

/**
 * The queue of the executor's token if the shared secret is switched off, else `undefined`.
 * @throws {UsageError} for several queues, because a token has one.
 */
export function queueOfExecutorToken(env: NodeJS.ProcessEnv): string | undefined {
  // The instance reports other values of the setting.
  if (!/^(?:false|0|no)$/.test(env.AIRLOCK_SHARED_SECRET ?? "")) return undefined;
  const [queue = "default", ...more] = (env.EXECUTOR_QUEUE_NAME || env.EXECUTOR_QUEUE_NAMES || "default")
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
  if (more.length === 0) return queue;
  throw new UsageError(
    "EXECUTOR_QUEUE_NAMES has several queues, but AIRLOCK_SHARED_SECRET is off and an executor token has one queue",
    "Set EXECUTOR_QUEUE_NAME to one queue, or remove AIRLOCK_SHARED_SECRET.",
  );
}

/** Creates the token of this session's executor, and revokes those of earlier sessions. */
export async function createDevExecutorToken(
  client: InstanceClient,
  queue: string,
  signal: AbortSignal,
): Promise<string> {
  const { tokens } = await client.json(ExecutorTokenList, "executor-tokens", { signal });
  for (const { id, name } of tokens) {
    if (name === tokenName) await client.request(`executor-tokens/${id}`, { method: "DELETE", signal });
  }
  const body = { name: tokenName, queue };
  return (await client.json(CreatedExecutorToken, "executor-tokens", { method: "POST", body, signal })).token;
}

import { AirlockError, formatDuration } from "@airlock/job";
import type { Config, InstanceOptions } from "../../config/options.ts";
import { InstanceClient } from "../../instance-client/instance-client.ts";
import { InstanceError } from "../../instance-client/instance-error.ts";
import { executorName } from "../../janitor/executor-name.ts";
import type { Check } from "./check.ts";

/** Beyond this, certificates and times in logs begin to be wrong. The `Date` header has a resolution of one second. */
const toleratedSkewMs = 30_000;

/** Checks that the instance answers, accepts the secret, knows the queues (if it tells), and agrees about the time. */
export function checkInstance({ instance, dataDir }: Config, now: () => number = Date.now): Check {
  const { origin } = instance.url;
  return {
    name: "instance",
    run: async ({ note, signal }) => {
      const client = new InstanceClient(instance, "validate");
      try {
        const askedAt = now();
        const answer = await client.testAuthentication(signal).catch(async (error: unknown) => {
          if (!(error instanceof InstanceError && error.status === 404)) throw error;
          // Instances from 2022 do not have this route.
          await ping(instance, dataDir, signal);
          return null;
        });
        if (answer === null) return `${origin} accepts the shared secret`;
        const { date, unknownQueues } = answer;
        if (unknownQueues.length > 0) {
          throw new AirlockError(`${origin} has no queue ${unknownQueues.join(", ")}`, {
            code: "unknown-queue",
            hint: `Create it (airlock queue create ${unknownQueues[0]}), or change EXECUTOR_QUEUE_NAME.`,
          });
        }
        if (date !== null) noteSkew(date - (askedAt + now()) / 2, note);
        return `${origin} accepts the shared secret`;
      } finally {
        await client.close();
      }
    },
  };
}

async function ping(instance: InstanceOptions, dataDir: string, signal: AbortSignal): Promise<void> {
  // Use the executor's own name, because the instance would list any other name as another executor.
  const client = new InstanceClient(instance, await executorName(dataDir));
  try {
    await client.ping(signal);
  } finally {
    await client.close();
  }
}

function noteSkew(skewMs: number, note: (text: string) => void): void {
  if (Math.abs(skewMs) <= toleratedSkewMs) return;
  const direction = skewMs > 0 ? "behind" : "ahead of";
  const seconds = Math.round(Math.abs(skewMs) / 1000) * 1000;
  note(
    `This machine's clock is ${formatDuration(seconds)} ${direction} the instance's clock. Synchronize it with NTP.`,
  );
}

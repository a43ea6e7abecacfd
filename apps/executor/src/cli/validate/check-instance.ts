import { AirlockError, formatDuration } from "@airlock/job";
import type { Config } from "../../config/options.ts";
import { InstanceClient } from "../../instance-client/instance-client.ts";
import type { Check } from "./check.ts";

/** A second is the resolution of the header; beyond this, certificates and times in logs begin to be wrong. */
const toleratedSkewMs = 30_000;

/** That the instance answers, takes the secret, knows the queues (if it tells), and what its clock says. */
export function checkInstance({ instance }: Config, now: () => number = Date.now): Check {
  return {
    name: "instance",
    run: async ({ note, signal }) => {
      const client = new InstanceClient(instance, "validate");
      try {
        const askedAt = now();
        const { date, unknownQueues } = await client.testAuthentication(signal);
        const answeredAt = now();
        if (unknownQueues.length > 0) {
          throw new AirlockError(`${instance.url.origin} has no queue ${unknownQueues.join(", ")}`, {
            code: "unknown-queue",
            hint: `Create it (airlock queue create ${unknownQueues[0]}), or mend EXECUTOR_QUEUE_NAME.`,
          });
        }
        if (date !== null) noteSkew(date - (askedAt + answeredAt) / 2, note);
        return `${instance.url.origin} takes the shared secret`;
      } finally {
        await client.close();
      }
    },
  };
}

function noteSkew(skewMs: number, note: (text: string) => void): void {
  if (Math.abs(skewMs) <= toleratedSkewMs) return;
  const direction = skewMs > 0 ? "behind" : "ahead of";
  const seconds = Math.round(Math.abs(skewMs) / 1000) * 1000;
  note(`This machine's clock is ${formatDuration(seconds)} ${direction} the instance's; set it by NTP.`);
}

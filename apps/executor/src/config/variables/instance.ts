import { QueueName } from "@airlock/api";
import { z } from "zod";
import { durationMs } from "../values/environment-values.ts";

const queueNames = z.string().transform((text, context) => {
  const names = [...new Set(text.split(",").map((name) => name.trim()))];
  for (const name of names) {
    const parsed = QueueName.safeParse(name);
    if (!parsed.success)
      context.addIssue({
        code: "custom",
        message: `"${name}" is not a queue name: ${parsed.error.issues[0]?.message}`,
      });
  }
  return names;
});

/** The instance and its queues. */
export const instanceVariables = {
  EXECUTOR_FRONTEND_URL: z
    .string({ error: "is not set: give the instance's address, e.g. https://airlock.example.com" })
    .refine(
      (text) => /^https?:\/\/[^/]/.test(text) && URL.canParse(text),
      "is not an address with http:// or https:// and a host",
    )
    .refine(
      (text) => !URL.canParse(text) || new URL(text).username === "",
      "must not contain credentials: set EXECUTOR_FRONTEND_PASSWORD instead",
    )
    .meta({
      description: "The instance's address; it may have a path.",
      default: "required",
      values: "`https://…` or `http://…`",
    }),
  EXECUTOR_FRONTEND_PASSWORD: z
    .string({
      error: "is not set: give the shared secret that the instance expects of executors",
    })
    .meta({ description: "The shared secret that the instance expects of executors.", default: "required" }),
  EXECUTOR_QUEUE_NAME: queueNames
    .refine((names) => names.length === 1, "names several queues: use EXECUTOR_QUEUE_NAMES")
    .optional()
    .meta({
      description: "The queue to take jobs from; either this or EXECUTOR_QUEUE_NAMES.",
      default: "required, or the next one",
      values: "a name",
    }),
  EXECUTOR_QUEUE_NAMES: queueNames
    .optional()
    .meta({ description: "Several queues to take jobs from.", values: "names, separated by commas" }),
  EXECUTOR_QUEUE_POLL_INTERVAL: durationMs("1s").meta({
    description:
      "How long to wait before asking for a job again, if the instance has none and does not hold requests open.",
  }),
};

import { z } from "zod";
import { DurationMs, durationMs, wholeNumber } from "../environment-values.ts";
import { parseLabels } from "../parse-labels.ts";

/** The executor itself. */
export const workerVariables = {
  EXECUTOR_MAXIMUM_NUM_JOBS: wholeNumber(1, 1, 1000),
  EXECUTOR_NUM_TOTAL_JOBS: wholeNumber(0, 0),
  EXECUTOR_MAX_ACTIVE_TIME: durationMs("0"),
  EXECUTOR_DRAIN_TIMEOUT: DurationMs.optional(),
  EXECUTOR_LABELS: z
    .string()
    .default("")
    .transform((text, context) => {
      const parsed = parseLabels(text);
      for (const problem of parsed.problems) context.addIssue({ code: "custom", message: problem });
      return parsed.labels;
    }),
  EXECUTOR_CLEANUP_TASK_INTERVAL: durationMs("1m").refine((ms) => ms >= 1000, "must be at least 1s"),
  EXECUTOR_HEALTH_SERVER_ADDR: z
    .string()
    .regex(/^(?:\[[0-9a-fA-F:.]+\]|[^:[\]]*):\d{1,5}$/, "is not an address: write it as :8080 or 127.0.0.1:8080")
    .optional(),
  EXECUTOR_DATA_DIR: z.string().optional(),
  XDG_STATE_HOME: z.string().optional(),
  PATH: z.string().default("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
};

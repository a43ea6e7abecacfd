import { z } from "zod";
import { DurationMs, durationMs, wholeNumber } from "../values/environment-values.ts";
import { parseLabels } from "../values/parse-labels.ts";

/** The executor itself. */
export const workerVariables = {
  EXECUTOR_MAXIMUM_NUM_JOBS: wholeNumber(1, 1, 1000).meta({
    description: "Maximum number of jobs that run at the same time.",
  }),
  EXECUTOR_NUM_TOTAL_JOBS: wholeNumber(0, 0).meta({
    description: "The executor exits after this many jobs. 0: never.",
  }),
  EXECUTOR_MAX_ACTIVE_TIME: durationMs("0").meta({
    description: "After this time the executor takes no more jobs, and exits when running ones have ended. 0: never.",
  }),
  EXECUTOR_DRAIN_TIMEOUT: DurationMs.optional().meta({
    description: "How long jobs may keep running after the first signal. Then they are handed back to the instance.",
    default: "until they end",
  }),
  EXECUTOR_LABELS: z
    .string()
    .default("")
    .transform((text, context) => {
      const parsed = parseLabels(text);
      for (const problem of parsed.problems) context.addIssue({ code: "custom", message: problem });
      return parsed.labels;
    })
    .meta({
      description: "Labels of this executor. Jobs can require labels.",
      default: "none",
      values: "labels: `zone=eu,arch=arm64`",
    }),
  EXECUTOR_CLEANUP_TASK_INTERVAL: durationMs("1m")
    .refine((ms) => ms >= 1000, "must be at least 1s")
    .meta({ description: "How often to remove what a crash left behind, and to shrink caches to their limits." }),
  EXECUTOR_HEALTH_SERVER_ADDR: z
    .string()
    .regex(/^(?:\[[0-9a-fA-F:.]+\]|[^:[\]]*):\d{1,5}$/, "is not an address: write it as :8080 or 127.0.0.1:8080")
    .optional()
    .meta({
      description: "Address that serves /healthz and /metrics. Port 0 chooses a free port.",
      default: "not served",
      values: "`:8080`, `127.0.0.1:8080`",
    }),
  EXECUTOR_DATA_DIR: z.string().optional().meta({
    description: "Directory for mirrors, images, state and workspaces. Only one executor can use it at a time.",
    default: "/var/lib/airlock-executor as root, else XDG_STATE_HOME/airlock-executor",
  }),
  XDG_STATE_HOME: z.string().optional().meta({
    description: "Parent of the default data directory of an executor without root.",
    default: "~/.local/state",
  }),
  PATH: z
    .string()
    .default("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    .meta({ description: "Directories in which to look for git and mount." }),
};

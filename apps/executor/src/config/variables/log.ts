import { z } from "zod";
import { durationMs, flag, sizeBytes } from "../values/environment-values.ts";

/** Logs. */
export const logVariables = {
  EXECUTOR_MAXIMUM_LOG_SIZE: sizeBytes("100M")
    .refine((bytes) => bytes > 0, "must be more than 0")
    .meta({ description: "Maximum size of one job's log. Further output is counted and dropped." }),
  EXECUTOR_MAXIMUM_LOG_RATE: sizeBytes("256M")
    .refine((bytes) => bytes === 0 || bytes >= 65_536, "must be 64Ki or more, or 0 for no limit")
    .meta({
      description:
        "Maximum output of one job per second. A step that writes faster is slowed down, and the log says so. 0: no limit.",
    }),
  EXECUTOR_DELIVERY_TIMEOUT: durationMs("10m").meta({
    description:
      "How long to wait for an instance that can't be reached. Until then jobs keep running past their lease, and logs and results are kept for delivery. 0: jobs stop when their lease ends.",
  }),
  EXECUTOR_ENABLE_JOB_AUDIT_LOGGING: flag(false).meta({
    description: "Whether to write the payload of each job, without secrets, to the executor's log.",
  }),
  SRC_LOG_LEVEL: z
    .enum(["dbug", "debug", "info", "warn", "error", "eror", "crit"], {
      error: "must be dbug, info, warn, error or crit",
    })
    .default("info")
    .meta({ description: "Minimum severity of events in the executor's own log, which goes to stderr." }),
  SRC_LOG_FORMAT: z
    .string()
    .default("condensed")
    .transform((text) => (/^json/i.test(text) ? ("json" as const) : ("condensed" as const)))
    .meta({
      description: "Form of that log: a short line per event, or JSON.",
      values: "`condensed`, `json` (`json_gcp` and the like are read as `json`)",
    }),
};

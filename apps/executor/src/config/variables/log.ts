import { z } from "zod";
import { durationMs, flag, sizeBytes } from "../values/environment-values.ts";

/** Logs. */
export const logVariables = {
  EXECUTOR_MAXIMUM_LOG_SIZE: sizeBytes("100M")
    .refine((bytes) => bytes > 0, "must be more than 0")
    .meta({ description: "Log of one job; what comes after it is counted and dropped." }),
  EXECUTOR_MAXIMUM_LOG_RATE: sizeBytes("256M")
    .refine((bytes) => bytes === 0 || bytes >= 65_536, "must be 64Ki or more, or 0 for no limit")
    .meta({
      description: "Output of one job per second, beyond which its step waits, and its log says so; 0: no limit.",
    }),
  EXECUTOR_DELIVERY_TIMEOUT: durationMs("10m").meta({
    description:
      "How long an instance that can't be reached is waited for, by running jobs past their lease, by logs and by reports; 0: jobs stop when their lease ends.",
  }),
  EXECUTOR_ENABLE_JOB_AUDIT_LOGGING: flag(false).meta({
    description: "Whether the payload of each job, without secrets, is written to the executor's log.",
  }),
  SRC_LOG_LEVEL: z
    .enum(["dbug", "debug", "info", "warn", "error", "eror", "crit"], {
      error: "must be dbug, info, warn, error or crit",
    })
    .default("info")
    .meta({ description: "The least severe event that the executor's own log, on stderr, holds." }),
  SRC_LOG_FORMAT: z
    .string()
    .default("condensed")
    .transform((text) => (/^json/i.test(text) ? ("json" as const) : ("condensed" as const)))
    .meta({
      description: "Form of that log: a short line per event, or JSON.",
      values: "`condensed`, `json` (`json_gcp` and the like are read as `json`)",
    }),
};

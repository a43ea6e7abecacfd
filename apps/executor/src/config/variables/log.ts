import { z } from "zod";
import { durationMs, sizeBytes } from "../environment-values.ts";

/** Logs. */
export const logVariables = {
  EXECUTOR_MAXIMUM_LOG_SIZE: sizeBytes("100M").refine((bytes) => bytes > 0, "must be more than 0"),
  /** A second's output of one job; beyond it the step waits. */
  EXECUTOR_MAXIMUM_LOG_RATE: sizeBytes("256M").refine(
    (bytes) => bytes === 0 || bytes >= 65_536,
    "must be 64Ki or more, or 0 for no limit",
  ),
  EXECUTOR_DELIVERY_TIMEOUT: durationMs("10m"),
  SRC_LOG_LEVEL: z
    .enum(["dbug", "debug", "info", "warn", "error", "eror", "crit"], {
      error: "must be dbug, info, warn, error or crit",
    })
    .default("info"),
  SRC_LOG_FORMAT: z
    .string()
    .default("condensed")
    .transform((text) => (/^json/i.test(text) ? ("json" as const) : ("condensed" as const))),
};

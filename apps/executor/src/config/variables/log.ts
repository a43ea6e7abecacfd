import { z } from "zod";
import { sizeBytes } from "../environment-values.ts";

/** Logs. */
export const logVariables = {
  EXECUTOR_MAXIMUM_LOG_SIZE: sizeBytes("100M").refine((bytes) => bytes > 0, "must be more than 0"),
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

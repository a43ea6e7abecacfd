import { z } from "zod";
import { durationMs, flag, sizeBytes, wholeNumber } from "../environment-values.ts";

/** Workspaces. */
export const workspaceVariables = {
  EXECUTOR_MAXIMUM_CHECKOUT_SIZE: sizeBytes("20G").refine((bytes) => bytes > 0, "must be more than 0"),
  EXECUTOR_MAXIMUM_CHECKOUT_FILES: wholeNumber(2_000_000, 1),
  EXECUTOR_MAXIMUM_CHECKOUT_TIME: durationMs("10m").refine((ms) => ms > 0, "must be longer than 0"),
  EXECUTOR_MIRROR_CACHE_SIZE: sizeBytes("20G"),
  EXECUTOR_WORKSPACE_MOUNTS: z
    .enum(["auto", "always", "never"], { error: "must be auto, always or never" })
    .default("auto"),
  EXECUTOR_KEEP_WORKSPACES: flag(false),
  NODE_EXTRA_CA_CERTS: z.string().optional(),
};

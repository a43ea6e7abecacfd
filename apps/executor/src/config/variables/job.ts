import { z } from "zod";
import { durationMs, SizeBytes, sizeBytes, wholeNumber } from "../environment-values.ts";

/** What one job may use. */
export const jobVariables = {
  EXECUTOR_MAXIMUM_RUNTIME_PER_JOB: durationMs("30m").refine((ms) => ms > 0, "must be longer than 0"),
  EXECUTOR_JOB_NUM_CPUS: z
    .string()
    .default("4")
    .transform((text, context) => {
      const cpus = /^\d{1,4}(?:\.\d{1,3})?$/.test(text) ? Number(text) : undefined;
      if (cpus === undefined)
        context.addIssue({
          code: "custom",
          message: `"${text}" is not a number of cores: write it as 4, 0.5, or 0 for no limit`,
        });
      return cpus ?? 0;
    }),
  EXECUTOR_JOB_MEMORY: sizeBytes("12G"),
  EXECUTOR_JOB_DISK: SizeBytes.optional(),
  EXECUTOR_FIRECRACKER_DISK_SPACE: SizeBytes.optional(),
  EXECUTOR_MAXIMUM_PIDS_PER_JOB: wholeNumber(4096, 1, 4_194_304),
  EXECUTOR_MAXIMUM_OUTPUT_SIZE: sizeBytes("10G"),
  EXECUTOR_MAXIMUM_OUTPUT_FILES: wholeNumber(100_000, 0),
};

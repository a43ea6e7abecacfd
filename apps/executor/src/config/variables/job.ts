import { z } from "zod";
import { durationMs, SizeBytes, sizeBytes, wholeNumber } from "../values/environment-values.ts";

/** What one job may use. */
export const jobVariables = {
  EXECUTOR_MAXIMUM_RUNTIME_PER_JOB: durationMs("30m")
    .refine((ms) => ms > 0, "must be longer than 0")
    .meta({ description: "How long one job may take, from the moment it is taken." }),
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
    })
    .meta({
      description: "Cores of one job, over all its steps; 0: all of the machine's.",
      values: "a number: `4`, `0.5`",
    }),
  EXECUTOR_JOB_MEMORY: sizeBytes("12G").meta({
    description: "Memory of one job, swap included; 0: all of the machine's.",
  }),
  EXECUTOR_JOB_DISK: SizeBytes.optional().meta({
    description: "Disk of one job: its workspace and what steps write elsewhere, together; 0: no limit.",
    default: "20G",
  }),
  EXECUTOR_FIRECRACKER_DISK_SPACE: SizeBytes.optional().meta({
    description: "The protocol's name of EXECUTOR_JOB_DISK, which wins.",
  }),
  EXECUTOR_MAXIMUM_PIDS_PER_JOB: wholeNumber(4096, 1, 4_194_304).meta({
    description: "Processes and threads of one job.",
  }),
  EXECUTOR_MAXIMUM_OUTPUT_SIZE: sizeBytes("10G").meta({
    description: "What the files that one job leaves behind may weigh together, before they are packed.",
  }),
  EXECUTOR_MAXIMUM_OUTPUT_FILES: wholeNumber(100_000, 0).meta({
    description: "How many files one job may leave behind.",
  }),
};

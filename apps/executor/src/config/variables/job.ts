import { formatBytes, leastResources } from "@airlock/job";
import { z } from "zod";
import { durationMs, SizeBytes, sizeBytes, wholeNumber } from "../values/environment-values.ts";

/** 0 means "no limit". */
const isLimit = (bytes: number, least: number) => bytes === 0 || bytes >= least;
const atLeast = (least: number) => `must be 0 or at least ${formatBytes(least)}`;

const diskSize = SizeBytes.refine(
  (bytes) => isLimit(bytes, leastResources.diskBytes),
  atLeast(leastResources.diskBytes),
);

/** Limits of one job. */
export const jobVariables = {
  EXECUTOR_MAXIMUM_RUNTIME_PER_JOB: durationMs("30m")
    .refine((ms) => ms > 0, "must be longer than 0")
    .meta({ description: "How long one job may take, from the moment the executor takes it." }),
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
    .refine((cpus) => cpus === 0 || cpus >= leastResources.cpus, `must be 0 or at least ${leastResources.cpus}`)
    .meta({
      description: "CPU cores of one job, for all its steps together. 0: all cores of the machine.",
      values: "a number: `4`, `0.5`",
    }),
  EXECUTOR_JOB_MEMORY: sizeBytes("12G")
    .refine((bytes) => isLimit(bytes, leastResources.memoryBytes), atLeast(leastResources.memoryBytes))
    .meta({ description: "Memory of one job, including swap. 0: all memory of the machine." }),
  EXECUTOR_JOB_SHM: sizeBytes("64Mi")
    .refine((bytes) => bytes >= leastResources.shmBytes, `must be at least ${formatBytes(leastResources.shmBytes)}`)
    .meta({
      description: "Size of `/dev/shm` for jobs that set no `resources.shm`. Its content counts as the job's memory.",
    }),
  EXECUTOR_JOB_DISK: diskSize.optional().meta({
    description:
      "Disk space of one job, for its workspace and for files that steps write elsewhere, together. 0: no limit.",
    default: "20G",
  }),
  EXECUTOR_FIRECRACKER_DISK_SPACE: diskSize.optional().meta({
    description: "Sourcegraph's name of EXECUTOR_JOB_DISK, which takes precedence.",
  }),
  EXECUTOR_MAXIMUM_PIDS_PER_JOB: wholeNumber(4096, leastResources.pids, 4_194_304).meta({
    description: "Processes and threads of one job.",
  }),
  EXECUTOR_UNENFORCED_LIMITS: z.enum(["refuse", "none"], { error: "must be refuse or none" }).default("refuse").meta({
    description:
      "What becomes of jobs where this machine can't enforce a limit of CPU, memory or processes: the executor refuses to start, or jobs run without that limit.",
  }),
  EXECUTOR_MAXIMUM_OUTPUT_SIZE: sizeBytes("10G").meta({
    description: "Total size of the output files of one job, before they are packed.",
  }),
  EXECUTOR_MAXIMUM_OUTPUT_FILES: wholeNumber(100_000, 0).meta({
    description: "How many output files one job may have.",
  }),
};

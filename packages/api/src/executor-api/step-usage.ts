import { z } from "zod";
import { ExecutorName, Ordinal, WireJobId } from "../primitives/primitives.ts";

/** When a step has more samples, neighbours are merged and the interval doubles. */
export const maxUsageSamples = 600;

/** One number for each interval. `null`: not measured. */
const Series = z.array(z.number().nonnegative().max(Number.MAX_SAFE_INTEGER)).max(maxUsageSamples).nullable();
const Amount = z.number().nonnegative().max(Number.MAX_SAFE_INTEGER);

/** What one step used over time. */
export const StepUsage = z
  .object({
    /** Index of the step in the job, from 0. */
    step: z.int().min(0).max(999),
    startedAt: z.iso.datetime(),
    /** The interval that each sample covers, in ms. The last one may be shorter. */
    intervalMs: z
      .int()
      .min(1)
      .max(2 ** 40),
    /** From the step's start to the last sample, in ms. */
    durationMs: z
      .int()
      .min(0)
      .max(2 ** 40),
    /** The job's limits. `null`: not limited. */
    limits: z.object({ cpus: Amount, memoryBytes: Amount, diskBytes: Amount.nullable() }),
    /** Processor time used in the interval, in ms. */
    cpuMs: Series,
    /** The most memory in use at any sample of the interval, without cached files that the kernel can drop. */
    memoryBytes: Series,
    /** Space in use on the job's disk. */
    diskBytes: Series,
    /** Bytes that the step received and sent in the interval. */
    receivedBytes: Series,
    sentBytes: Series,
  })
  .refine(({ cpuMs, memoryBytes, diskBytes, receivedBytes, sentBytes }) => {
    const series = [cpuMs, memoryBytes, diskBytes, receivedBytes, sentBytes].flatMap((each) => each?.length ?? []);
    return new Set(series).size <= 1;
  }, "series of different lengths");
export type StepUsage = z.output<typeof StepUsage>;

/**
 * `POST queue/{queue}/usage` (capability `usage`): what a step of the running attempt used so far. Replaces what was sent
 * of the step before, so it can be repeated. Responses: 204; 409 if the attempt is not the running one.
 */
export const UsageRequest = z.object({
  executorName: ExecutorName,
  jobId: WireJobId,
  attempt: Ordinal.optional(),
  usage: StepUsage,
});

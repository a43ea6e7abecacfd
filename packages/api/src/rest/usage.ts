import { z } from "zod";
import { StepUsage } from "../executor-api/step-usage.ts";

/** `GET /api/v1/jobs/{id}/usage`: what the steps of an attempt used over time, as far as its executor measures it. */
export const JobUsage = z.object({ attempt: z.int(), steps: z.array(StepUsage) });
export type JobUsage = z.output<typeof JobUsage>;

import type { JobSummary } from "@airlock/api";
import { assertNever } from "@airlock/job";
import type { Paint } from "./paint.ts";

export function paintState(paint: Paint, job: Pick<JobSummary, "state" | "cancelRequested">): string {
  switch (job.state) {
    case "queued":
      return paint("yellow", "queued");
    case "processing":
      return paint("cyan", job.cancelRequested ? "canceling" : "processing");
    case "completed":
      return paint("green", "completed");
    case "failed":
    case "errored":
      return paint("red", job.state);
    case "canceled":
      return paint("dim", "canceled");
    default:
      return assertNever(job.state);
  }
}

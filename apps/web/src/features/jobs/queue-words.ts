import type { JobSummary } from "@airlock/api";

/** The queue, and the namespace unless it is `default`. */
export function queueWords({ queue, namespace }: Pick<JobSummary, "queue" | "namespace">): string {
  return namespace === "default" ? queue : `${queue} · ${namespace}`;
}

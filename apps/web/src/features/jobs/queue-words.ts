import type { JobSummary } from "@airlock/api";

/** The queue, and the namespace where it is not everybody's. */
export function queueWords({ queue, namespace }: Pick<JobSummary, "queue" | "namespace">): string {
  return namespace === "default" ? queue : `${queue} · ${namespace}`;
}

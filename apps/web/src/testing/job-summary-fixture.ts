import type { JobSummary } from "@airlock/api";

/** A queued job for tests. */
export function jobSummary(changes: Partial<JobSummary> = {}): JobSummary {
  return {
    id: 1,
    queue: "default",
    namespace: "default",
    state: "queued",
    repository: "github.com/a/b",
    revision: "main",
    commit: "0123456789abcdef0123456789abcdef01234567",
    attempt: 0,
    executor: null,
    queuedAt: "2026-01-01T00:00:00.000Z",
    startedAt: null,
    finishedAt: null,
    failureReason: null,
    failureMessage: null,
    cancelRequested: false,
    stepKeys: ["test", "build"],
    obstacle: null,
    ...changes,
  };
}

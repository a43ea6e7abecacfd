import { describe, expect, it } from "vitest";
import { type ExecutorFacts, explainJob, type JobFacts } from "./explain-job.ts";

const now = new Date("2026-01-01T00:00:00Z");
const queued: JobFacts = {
  now,
  state: "queued",
  queue: "default",
  labels: {},
  cpuMillis: null,
  memoryBytes: null,
  diskBytes: null,
  needs: [],
  allowUnenforced: false,
  attempt: 0,
  errors: 0,
  maxAttempts: 3,
  cancelRequested: false,
  visibleAt: now,
  startedAt: null,
  executor: null,
  failureMessage: null,
  exitCode: null,
  ahead: 0,
  executors: [],
  executorSilentMs: null,
};
const executor: ExecutorFacts = {
  name: "e",
  extensions: true,
  capabilities: ["attempts", "results"],
  labels: {},
  cpuMillis: null,
  memoryBytes: null,
  diskBytes: null,
  slots: 2,
  running: 0,
  draining: false,
  resumable: false,
};
/** An executor of the base protocol. */
const foreign: ExecutorFacts = { ...executor, name: "f", extensions: false, capabilities: [], slots: null };
const running: JobFacts = {
  ...queued,
  state: "processing",
  attempt: 1,
  executor: "e-1",
  startedAt: new Date(now.getTime() - 65_000),
  executorSilentMs: 3000,
};

describe("explainJob", () => {
  it.each<[string, JobFacts, string, string]>([
    ["no executor is connected", queued, "no-executor", 'No executor is connected to queue "default".'],
    [
      "no executor offers the labels",
      { ...queued, labels: { gpu: "a100" }, executors: [{ ...executor, labels: { gpu: "t4" } }] },
      "no-matching-executor",
      'No executor of queue "default" offers gpu=a100.',
    ],
    [
      "all executors are draining",
      { ...queued, executors: [{ ...executor, draining: true }] },
      "no-executor",
      'No executor is taking jobs from queue "default": the last one has exited or is draining.',
    ],
    [
      "the remaining executors are finishing their last jobs",
      { ...queued, labels: { gpu: "a100" }, executors: [{ ...executor, draining: true, running: 1 }] },
      "no-executor",
      'No executor is taking jobs from queue "default": 1 executor finishes its jobs and takes no more.',
    ],
    [
      "the only executor is drained and can be resumed",
      { ...queued, executors: [{ ...executor, draining: true, resumable: true }] },
      "no-executor",
      'No executor is taking jobs from queue "default": executor "e" is drained and can be resumed.',
    ],
    [
      "all suitable executors are draining, but others are not",
      {
        ...queued,
        labels: { gpu: "a100" },
        executors: [{ ...executor, labels: { gpu: "a100" }, draining: true }, executor],
      },
      "no-executor",
      'Every executor of queue "default" that could run the job is draining.',
    ],
    [
      "all executors are busy",
      {
        ...queued,
        ahead: 4,
        executors: [
          { ...executor, running: 2 },
          { ...executor, running: 2 },
        ],
      },
      "waiting-for-executor",
      "Waiting, 4 ahead of it: all 4 slots of 2 executors busy.",
    ],
    [
      "the only slot is busy",
      { ...queued, executors: [{ ...executor, slots: 1, running: 1 }] },
      "waiting-for-executor",
      "Waiting, first in line: the one slot of 1 executor busy.",
    ],
    [
      "an executor is about to take the job",
      { ...queued, executors: [executor] },
      "waiting-for-executor",
      "Waiting to be taken, first in line: 1 executor connected.",
    ],
    [
      "the job waits for its back-off, although an executor is connected",
      { ...queued, attempt: 2, errors: 2, visibleAt: new Date(now.getTime() + 9000) },
      "back-off",
      "Retrying in 9.0s: attempt 2 failed for a reason outside the job (2 of 3).",
    ],
    ["the job is running", running, "running", "Running on executor e-1 for 1m 5s."],
    [
      "the job is being canceled",
      { ...running, cancelRequested: true },
      "canceling",
      "Being canceled: executor e-1 is told to stop it.",
    ],
    [
      "the executor is silent, even if the job is being canceled",
      { ...running, cancelRequested: true, executorSilentMs: 12_000 },
      "executor-silent",
      "Executor e-1 has sent no heartbeat for 12.0s.",
    ],
    ["the job completed", { ...queued, state: "completed", exitCode: 0 }, "finished", "Completed."],
    [
      "the job failed without a message",
      { ...queued, state: "failed", exitCode: 3 },
      "finished",
      "Failed with exit code 3.",
    ],
    [
      "the job failed with a message",
      { ...queued, state: "failed", failureMessage: "step test: exit code 3" },
      "finished",
      "Failed: step test: exit code 3",
    ],
    [
      "the job was given up",
      { ...queued, state: "errored", attempt: 3, failureMessage: "disk full" },
      "finished",
      "Given up after attempt 3: disk full",
    ],
    [
      "no executor is large enough",
      {
        ...queued,
        memoryBytes: 2 ** 33,
        cpuMillis: 2000,
        executors: [{ ...executor, memoryBytes: 2 ** 32, cpuMillis: 4000 }],
      },
      "no-matching-executor",
      'No executor of queue "default" offers 8 GiB of memory.',
    ],
    [
      "no single executor meets all demands",
      {
        ...queued,
        labels: { gpu: "a100" },
        cpuMillis: 8000,
        executors: [
          { ...executor, labels: { gpu: "a100" }, cpuMillis: 4000 },
          { ...executor, cpuMillis: 16_000 },
        ],
      },
      "no-matching-executor",
      'No executor of queue "default" offers gpu=a100 and 8 CPUs together.',
    ],
    [
      "no executor supports the job's fields",
      { ...queued, needs: ["egress", "timeout", "diff"], executors: [foreign] },
      "no-matching-executor",
      'No executor of queue "default" supports egress, timeout and diff. An up-to-date Airlock executor does, or the queue\'s setting allowUnenforced lets others ignore it.',
    ],
    [
      "an executor lacks support that the queue can't do without",
      { ...queued, needs: ["egress", "image: host"], allowUnenforced: true, executors: [foreign] },
      "no-matching-executor",
      'No executor of queue "default" supports image: host. An up-to-date Airlock executor with EXECUTOR_RUNTIME=docker or oci does; it also needs EXECUTOR_ALLOW_HOST_IMAGE=true.',
    ],
    [
      "no executor offers Docker",
      { ...queued, needs: ["services: docker"], allowUnenforced: true, executors: [executor] },
      "no-matching-executor",
      'No executor of queue "default" supports services: docker. An Airlock executor with EXECUTOR_RUNTIME=microvm does, after `executor install microvm --docker` on its machine.',
    ],
    [
      "an older Airlock executor stores no results",
      { ...queued, needs: ["egress", "outputs"], executors: [{ ...executor, capabilities: ["attempts"] }] },
      "no-matching-executor",
      'No executor of queue "default" supports outputs. An up-to-date Airlock executor does, or the queue\'s setting allowUnenforced lets others ignore it.',
    ],
    [
      "an Airlock executor has not yet reported its capabilities",
      { ...queued, needs: ["outputs"], executors: [{ ...executor, capabilities: [] }] },
      "waiting-for-executor",
      "Waiting to be taken, first in line: 1 executor connected.",
    ],
    [
      "the queue lets executors ignore the job's fields",
      { ...queued, needs: ["egress"], allowUnenforced: true, executors: [foreign] },
      "waiting-for-executor",
      "Waiting to be taken, first in line: 1 executor connected.",
    ],
    [
      "no executor offers the label or supports egress",
      { ...queued, labels: { gpu: "a100" }, needs: ["egress"], executors: [foreign] },
      "no-matching-executor",
      'No executor of queue "default" offers gpu=a100, and none supports egress. An up-to-date Airlock executor does, or the queue\'s setting allowUnenforced lets others ignore it.',
    ],
    [
      "no single executor has both the size and the support",
      {
        ...queued,
        cpuMillis: 8000,
        needs: ["egress"],
        executors: [
          { ...executor, cpuMillis: 4000 },
          { ...foreign, cpuMillis: 16_000 },
        ],
      },
      "no-matching-executor",
      'No executor of queue "default" offers 8 CPUs and support for egress together.',
    ],
    [
      "executors with an unknown number of slots run jobs",
      {
        ...queued,
        executors: [
          { ...foreign, running: 1 },
          { ...executor, running: 2 },
        ],
      },
      "waiting-for-executor",
      "Waiting, first in line: 2 executors connected, which run 3 jobs.",
    ],
    ["the job was canceled", { ...queued, state: "canceled" }, "finished", "Canceled."],
  ])("explains the state when %s", (_title, facts, code, message) => {
    expect(explainJob(facts)).toEqual({ code, message });
  });
});

import type { FailureReason } from "@airlock/job";

interface FailureWords {
  /** Headline: what happened. */
  readonly title: string;
  /** What the reader can do next. */
  readonly hint: string;
}

export const failureWords: Readonly<Record<FailureReason, FailureWords>> = {
  "step-failed": {
    title: "A step failed",
    hint: "The step's own command ended with an error. Its last lines of output usually say why.",
  },
  "out-of-memory": {
    title: "Out of memory",
    hint: "The job used more memory than its limit. Raise resources.memory, or reduce the step's memory use.",
  },
  timeout: {
    title: "Timed out",
    hint: "The job ran longer than its timeout. Raise timeout, or check the timeline for slow steps.",
  },
  "checkout-invalid": {
    title: "The checkout failed",
    hint: "Check the repository's name, the revision, and the job's checkout paths.",
  },
  "image-invalid": {
    title: "The image cannot be used",
    hint: "Check the image's name and tag, that the executor may use it, and that it has /bin/sh.",
  },
  "secret-unavailable": {
    title: "A secret is not available",
    hint: "Set the secret that the message names for this job's namespace under Secrets, then retry the job.",
  },
  policy: {
    title: "Not allowed on this executor",
    hint: "The job asks for something that the executor's administrator does not allow or that it cannot enforce.",
  },
  "queue-timeout": {
    title: "No executor took the job in time",
    hint: "See Executors for what they offer, or raise the queue's longest wait under Queues. Then retry the job.",
  },
  "checkout-unavailable": {
    title: "The repository could not be fetched",
    hint: "The problem may be temporary: retry the job. If it happens again, check the repository under Repositories.",
  },
  "image-unavailable": {
    title: "The image could not be pulled",
    hint: "The problem may be temporary: retry the job. If it happens again, check that the executor can reach the registry.",
  },
  runtime: {
    title: "The sandbox failed",
    hint: "The executor's container engine or its disk had a problem. Retry the job; see the executor's log.",
  },
  "lease-lost": {
    title: "The executor was lost",
    hint: "It stopped sending heartbeats: it was killed, or lost its connection to the instance. See Executors.",
  },
  "executor-shutdown": {
    title: "The executor was shut down",
    hint: "It handed the job back, and another executor will take it.",
  },
  internal: {
    title: "Internal error in Airlock",
    hint: "Retry the job, and report this problem with the executor's log.",
  },
};

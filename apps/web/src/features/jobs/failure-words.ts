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
    hint: "The job used more memory than its limit. Raise resources.memory, or let the step use less.",
  },
  timeout: {
    title: "Timed out",
    hint: "The job ran longer than its timeout. Raise timeout, or see in the timeline where the time went.",
  },
  "checkout-invalid": {
    title: "The checkout is not possible",
    hint: "Check the repository's name, the revision, and paths that the job names in it.",
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
    hint: "This may pass: retry the job. If it stays, see the repository's state under Repositories.",
  },
  "image-unavailable": {
    title: "The image could not be pulled",
    hint: "This may pass: retry the job. If it stays, check that the executor reaches the registry.",
  },
  runtime: {
    title: "The sandbox failed",
    hint: "The executor's container engine or its disk had a problem. Retry the job; see the executor's log.",
  },
  "lease-lost": {
    title: "The executor was lost",
    hint: "It stopped sending heartbeats: it died, or lost its way to the instance. See Executors.",
  },
  "executor-shutdown": {
    title: "The executor was shut down",
    hint: "It handed the job back; another executor takes it.",
  },
  internal: {
    title: "A defect of Airlock's",
    hint: "Retry the job, and please report this with the executor's log.",
  },
};

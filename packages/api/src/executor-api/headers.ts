/** Headers of the executor API. The protocol defines the names. */
export const executorHeaders = {
  jobId: "x-sourcegraph-job-id",
  executorName: "x-sourcegraph-executor-name",
  actor: "x-sourcegraph-actor-uid",
  /** Extension in the response to `test/auth?queues=A,B`: the named queues that do not exist, comma-separated. */
  unknownQueues: "x-airlock-unknown-queues",
} as const;

/** `Authorization: token-executor <shared secret>`. */
export const sharedSecretScheme = "token-executor";

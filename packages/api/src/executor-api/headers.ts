/** Headers of the executor API. Names are fixed by the protocol. */
export const executorHeaders = {
  jobId: "x-sourcegraph-job-id",
  executorName: "x-sourcegraph-executor-name",
  actor: "x-sourcegraph-actor-uid",
  /** Of the answer to `test/auth?queues=A,B`, an extension: which of them the instance does not have, comma-separated. */
  unknownQueues: "x-airlock-unknown-queues",
} as const;

/** `Authorization: token-executor <shared secret>`. */
export const sharedSecretScheme = "token-executor";

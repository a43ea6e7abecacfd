/** Headers of the executor API. Names are fixed by the protocol. */
export const executorHeaders = {
  jobId: "x-sourcegraph-job-id",
  executorName: "x-sourcegraph-executor-name",
  actor: "x-sourcegraph-actor-uid",
} as const;

/** `Authorization: token-executor <shared secret>`. */
export const sharedSecretScheme = "token-executor";

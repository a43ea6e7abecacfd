import type { Refusal } from "../../access/may.ts";
import { ExecutorApiError } from "./authenticate-executor.ts";

const texts: Readonly<Record<Refusal, string>> = {
  "no-credentials": "the Authorization header is missing",
  "not-permitted": "these credentials are not for this route",
  "missing-scope": "the access token does not have the scope for this",
  "no-job-token": "routes of a job need the job's token",
  "attempt-ended": "the token expired when its attempt ended",
  hidden: "these credentials are not for this route",
  queue: "the token is for another queue",
  job: "the token is for another job",
  executor: "the token is for another executor",
  repository: "the token is for another repository",
  commit: "the token is for another commit",
  attempt: "the token is for another attempt",
};

/** Answers a refusal as the executor protocol does. */
export function refuseExecutor(refusal: Refusal): ExecutorApiError {
  const isInvalid = refusal === "no-credentials" || refusal === "attempt-ended";
  return new ExecutorApiError(isInvalid ? 401 : 403, texts[refusal]);
}

import { executorHeaders, sharedSecretScheme } from "@airlock/api";
import type { FastifyRequest } from "fastify";
import { sql } from "kysely";
import type { ExecutorActor, JobActor, QueueExecutorActor } from "../../access/actor.ts";
import { findExecutorToken, isExecutorToken } from "../../executors/executor-tokens.ts";
import { hashToken } from "../../queues/job-token.ts";
import type { Database } from "../../store/database.ts";
import { secretEqual } from "../shared/secret-equal.ts";

/** An error response that ends the request. The protocol's clients look only at the status; the text is for people. */
export class ExecutorApiError extends Error {
  override readonly name = "ExecutorApiError";
  readonly statusCode: number;
  /** The protocol sends errors of handlers (500) as `{"error": …}` and everything else as plain text. */
  readonly json: boolean;

  constructor(statusCode: number, message: string) {
    super(message);
    this.statusCode = statusCode;
    this.json = statusCode >= 500;
  }
}

interface Credentials {
  readonly scheme: string;
  readonly token: string;
}

function credentials(request: FastifyRequest): Credentials {
  const parts = (request.headers.authorization ?? "").split(" ");
  const [scheme = "", token = ""] = parts;
  if (parts.length !== 2 || token === "") throw new ExecutorApiError(401, "the Authorization header is missing");
  return { scheme, token };
}

/** For routes of a whole executor (dequeue, heartbeat, …): the shared secret, or an executor token of one queue. */
export async function authenticateExecutor(
  request: FastifyRequest,
  { db, sharedSecret }: { readonly db: Database; readonly sharedSecret: string | null },
): Promise<ExecutorActor | QueueExecutorActor> {
  const { scheme, token } = credentials(request);
  if (scheme !== sharedSecretScheme) throw new ExecutorApiError(401, "the Authorization header's scheme is unknown");
  if (sharedSecret !== null && secretEqual(token, sharedSecret)) return { kind: "executor", legacy: false };
  if (isExecutorToken(token)) {
    const found = await findExecutorToken(db, token, request.ip);
    if (found) return { kind: "queue-executor", ...found };
    throw new ExecutorApiError(401, "the executor token was revoked or has expired");
  }
  throw new ExecutorApiError(401, sharedSecret === null ? "the executor token is wrong" : "the shared secret is wrong");
}

/** For routes of one job, which need its token and headers that identify the job. Each header must match the token. */
export async function authenticateJob(
  request: FastifyRequest,
  options: { readonly db: Database; readonly sharedSecret: string | null; readonly legacySharedSecret: boolean },
): Promise<ExecutorActor | JobActor> {
  const { scheme, token } = credentials(request);
  if (scheme === sharedSecretScheme) {
    const { legacySharedSecret: legacy, sharedSecret } = options;
    if (sharedSecret === null || !secretEqual(token, sharedSecret)) {
      throw new ExecutorApiError(403, "routes of a job need the job's token");
    }
    return { kind: "executor", legacy };
  }
  if (scheme !== "Bearer") throw new ExecutorApiError(401, "the Authorization header's scheme is unknown");
  const jobId = Number(request.headers[executorHeaders.jobId]);
  if (!Number.isSafeInteger(jobId) || jobId <= 0)
    throw new ExecutorApiError(400, `${executorHeaders.jobId} is missing`);
  const executor = request.headers[executorHeaders.executorName];
  if (typeof executor !== "string" || executor === "") {
    throw new ExecutorApiError(400, `${executorHeaders.executorName} is missing`);
  }
  const actor = await findJobActor(options.db, token);
  if (!actor) throw new ExecutorApiError(401, "unknown job token");
  if (actor.job !== jobId) throw new ExecutorApiError(403, "the token is for another job");
  if (actor.executor !== executor) throw new ExecutorApiError(403, "the token is for another executor");
  return actor;
}

/** The attempt that a job token belongs to; `null`: the token is unknown. */
export async function findJobActor(db: Database, token: string): Promise<JobActor | null> {
  const { rows } = await sql<Omit<JobActor, "kind">>`
    select tokens.job, tokens.attempt, tokens.queue, tokens.repository, tokens.executor, jobs.commit,
      jobs.state = 'processing' and jobs.attempt = tokens.attempt as running
    from job_tokens tokens join jobs on jobs.id = tokens.job
    where token_sha256 = ${hashToken(token)}::bytea`.execute(db);
  const [row] = rows;
  return row ? { kind: "job", ...row } : null;
}

import { executorHeaders, sharedSecretScheme } from "@airlock/api";
import type { FastifyRequest } from "fastify";
import { sql } from "kysely";
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

/** For routes of a whole executor (dequeue, heartbeat, …), which need the shared secret. */
export function authenticateExecutor(request: FastifyRequest, sharedSecret: string): void {
  const { scheme, token } = credentials(request);
  if (scheme !== sharedSecretScheme || !secretEqual(token, sharedSecret)) {
    throw new ExecutorApiError(401, "the shared secret is wrong");
  }
}

/** What a job token proves. The legacy shared secret proves only that the request comes from some executor. */
export type JobCredentials =
  | {
      readonly kind: "token";
      readonly job: number;
      readonly attempt: number;
      readonly queue: string;
      readonly repository: string | null;
      readonly executor: string;
      readonly commit: string | null;
      /** The attempt is still running. */
      readonly running: boolean;
    }
  | { readonly kind: "shared-secret" };

interface TokenRow {
  job: number;
  attempt: number;
  queue: string;
  repository: string | null;
  executor: string;
  commit: string | null;
  running: boolean;
}

/** For routes of one job, which need its token and headers that identify the job. Each header must match the token. */
export async function authenticateJob(
  request: FastifyRequest,
  options: { readonly db: Database; readonly sharedSecret: string; readonly legacySharedSecret: boolean },
): Promise<JobCredentials> {
  const { scheme, token } = credentials(request);
  if (scheme === sharedSecretScheme) {
    if (options.legacySharedSecret && secretEqual(token, options.sharedSecret)) return { kind: "shared-secret" };
    throw new ExecutorApiError(403, "routes of a job need the job's token");
  }
  if (scheme !== "Bearer") throw new ExecutorApiError(401, "the Authorization header's scheme is unknown");
  const jobId = Number(request.headers[executorHeaders.jobId]);
  if (!Number.isSafeInteger(jobId) || jobId <= 0)
    throw new ExecutorApiError(400, `${executorHeaders.jobId} is missing`);
  const executor = request.headers[executorHeaders.executorName];
  if (typeof executor !== "string" || executor === "") {
    throw new ExecutorApiError(400, `${executorHeaders.executorName} is missing`);
  }
  const { rows } = await sql<TokenRow>`
    select tokens.job, tokens.attempt, tokens.queue, tokens.repository, tokens.executor, jobs.commit,
      jobs.state = 'processing' and jobs.attempt = tokens.attempt as running
    from job_tokens tokens join jobs on jobs.id = tokens.job
    where token_sha256 = ${hashToken(token)}::bytea`.execute(options.db);
  const row = rows[0];
  if (!row) throw new ExecutorApiError(401, "unknown job token");
  if (row.job !== jobId) throw new ExecutorApiError(403, "the token is for another job");
  if (row.executor !== executor) throw new ExecutorApiError(403, "the token is for another executor");
  return { kind: "token", ...row };
}

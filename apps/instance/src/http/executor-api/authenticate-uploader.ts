import type { FastifyInstance, FastifyRequest } from "fastify";
import { sql } from "kysely";
import { hashToken } from "../../queues/job-token.ts";
import type { Database } from "../../store/database.ts";
import { secretEqual } from "../shared/secret-equal.ts";
import { ExecutorApiError } from "./authenticate-executor.ts";

/** Who sends an index of code: a user or an executor, who may send any, or one running attempt of a job. */
export type Uploader =
  | { readonly kind: "trusted" }
  | {
      readonly kind: "job";
      readonly job: number;
      readonly attempt: number;
      readonly repository: string | null;
      readonly commit: string | null;
    };

interface UploaderOptions {
  readonly db: Database;
  /** Schemes and token of the user or the executor. */
  readonly trusted: { readonly schemes: readonly string[]; readonly token: string };
  /** The refusal of every other token. */
  readonly refusal: string;
}

/** The schemes with which clients send a job's token. `src` sends what its environment names, or `token`. */
const jobSchemes = ["bearer", "token", "token-executor"];

/** Checks the credentials of uploads before their body is read, and keeps who sends them. */
export class Uploaders {
  readonly #known = new WeakMap<FastifyRequest, Uploader>();

  constructor(app: FastifyInstance, options: UploaderOptions) {
    app.addHook("onRequest", async (request) => {
      this.#known.set(request, await authenticateUploader(request, options));
    });
  }

  of(request: FastifyRequest): Uploader {
    const uploader = this.#known.get(request);
    if (!uploader) throw new Error("the route has no credentials hook");
    return uploader;
  }
}

async function authenticateUploader(request: FastifyRequest, options: UploaderOptions): Promise<Uploader> {
  const { db, trusted, refusal } = options;
  const match = /^([A-Za-z-]+) +(\S+)$/.exec(request.headers.authorization ?? "");
  if (!match) throw new ExecutorApiError(401, refusal);
  const [, scheme = "", token = ""] = match;
  if (trusted.schemes.includes(scheme.toLowerCase()) && secretEqual(token, trusted.token)) return { kind: "trusted" };
  if (!jobSchemes.includes(scheme.toLowerCase())) throw new ExecutorApiError(401, refusal);
  const { rows } = await sql<Extract<Uploader, { kind: "job" }> & { readonly running: boolean }>`
    select tokens.job, tokens.attempt, tokens.repository, jobs.commit,
      jobs.state = 'processing' and jobs.attempt = tokens.attempt as running
    from job_tokens tokens join jobs on jobs.id = tokens.job
    where token_sha256 = ${hashToken(token)}::bytea`.execute(db);
  const [row] = rows;
  if (!row) throw new ExecutorApiError(401, refusal);
  const { job, attempt, repository, commit, running } = row;
  if (!running) throw new ExecutorApiError(403, "the attempt of this job has ended");
  return { kind: "job", job, attempt, repository, commit };
}

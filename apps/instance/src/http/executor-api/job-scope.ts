import type { FastifyInstance, FastifyRequest } from "fastify";
import type { AttemptKey } from "../../queues/end-attempt.ts";
import type { InstanceContext } from "../shared/instance-context.ts";
import { authenticateJob, ExecutorApiError, type JobCredentials } from "./authenticate-executor.ts";

/**
 * For routes of one job: checks credentials before the body is read, and keeps them for `attemptOf`. The map is keyed
 * by the request, so credentials live as long as it does.
 */
export class JobScope {
  readonly #context: InstanceContext;
  readonly #credentials = new WeakMap<FastifyRequest, JobCredentials>();

  constructor(app: FastifyInstance, context: InstanceContext) {
    this.#context = context;
    app.addHook("onRequest", async (request) => {
      this.#credentials.set(
        request,
        await authenticateJob(request, {
          db: context.db,
          sharedSecret: context.executorToken,
          legacySharedSecret: context.config.legacySharedSecret,
        }),
      );
    });
  }

  credentialsOf(request: FastifyRequest): JobCredentials {
    const credentials = this.#credentials.get(request);
    if (!credentials) throw new Error("the route has no credentials hook");
    return credentials;
  }

  /**
   * Finds the attempt that a request writes to. Everything in the body and the path must match the token, whose attempt
   * may have ended. `null`: the token is for another attempt; or, with the shared secret, the executor doesn't run it.
   */
  async attemptOf(
    request: FastifyRequest,
    queue: string,
    body: { readonly executorName: string; readonly jobId: number; readonly attempt?: number | undefined },
  ): Promise<AttemptKey | null> {
    const credentials = this.credentialsOf(request);
    if (credentials.kind === "shared-secret") return this.#runningAttempt(queue, body);
    if (credentials.queue !== queue) throw new ExecutorApiError(403, "the token is for another queue");
    if (credentials.job !== body.jobId) throw new ExecutorApiError(403, "the token is for another job");
    if (credentials.executor !== body.executorName) {
      throw new ExecutorApiError(403, "the token is for another executor");
    }
    if (body.attempt !== undefined && body.attempt !== credentials.attempt) return null;
    return { job: credentials.job, attempt: credentials.attempt, executor: credentials.executor };
  }

  async #runningAttempt(
    queue: string,
    body: { readonly executorName: string; readonly jobId: number; readonly attempt?: number | undefined },
  ): Promise<AttemptKey | null> {
    const row = await this.#context.db
      .selectFrom("jobs")
      .select("attempt")
      .where("id", "=", body.jobId)
      .where("queue", "=", queue)
      .where("state", "=", "processing")
      .where("executor", "=", body.executorName)
      .executeTakeFirst();
    if (!row || (body.attempt !== undefined && body.attempt !== row.attempt)) return null;
    return { job: body.jobId, attempt: row.attempt, executor: body.executorName };
  }
}

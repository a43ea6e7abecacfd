import type { FastifyInstance, FastifyRequest } from "fastify";
import type { AttemptKey } from "../../queues/end-attempt.ts";
import type { InstanceContext } from "../shared/instance-context.ts";
import { accessOf, guard } from "../shared/route-access.ts";
import { authenticateJob } from "./authenticate-executor.ts";
import { refuseExecutor } from "./refuse-executor.ts";

interface NamedAttempt {
  readonly executorName: string;
  readonly jobId: number;
  readonly attempt?: number | undefined;
}

/** For routes of one job: checks the job's token before the body is read. */
export class JobScope {
  readonly #context: InstanceContext;

  constructor(app: FastifyInstance, context: InstanceContext) {
    this.#context = context;
    guard(app, {
      authenticate: (request) =>
        authenticateJob(request, {
          db: context.db,
          sharedSecret: context.sharedSecret,
          legacySharedSecret: context.config.legacySharedSecret,
        }),
      refuse: refuseExecutor,
    });
  }

  /**
   * Finds the attempt that a request writes to. Everything in the body and the path must match the token, whose attempt
   * may have ended. `null`: the token is for another attempt; or, with the shared secret, the executor doesn't run it.
   */
  async attemptOf(request: FastifyRequest, queue: string, body: NamedAttempt): Promise<AttemptKey | null> {
    const access = accessOf(request);
    access.require({ queue, job: body.jobId, executor: body.executorName });
    const { actor } = access;
    if (actor.kind !== "job") return this.#runningAttempt(queue, body);
    if (body.attempt !== undefined && body.attempt !== actor.attempt) return null;
    return { job: actor.job, attempt: actor.attempt, executor: actor.executor };
  }

  async #runningAttempt(queue: string, body: NamedAttempt): Promise<AttemptKey | null> {
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

import { UsageRequest } from "@airlock/api";
import type { FastifyInstance } from "fastify";
import { storeStepUsage } from "../../usage/step-usage.ts";
import type { InstanceContext } from "../shared/instance-context.ts";
import { JobScope } from "./job-scope.ts";
import { parseBody } from "./parse-body.ts";

/** `POST queue/{queue}/usage`: what the steps of a running attempt use. */
export function usageRoutes(app: FastifyInstance, context: InstanceContext): void {
  const scope = new JobScope(app, context);

  app.post<{ Params: { queue: string } }>("/queue/:queue/usage", async (request, reply) => {
    const body = parseBody(UsageRequest, request.body);
    const key = await scope.attemptOf(request, request.params.queue, body);
    if (key && (await storeStepUsage(context.db, key, body.usage))) return reply.status(204).send();
    const problem = `the attempt of job ${body.jobId} is not running`;
    return reply.status(409).type("text/plain; charset=utf-8").send(problem);
  });
}

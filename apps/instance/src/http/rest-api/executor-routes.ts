import { ExecutorList, ExecutorName } from "@airlock/api";
import { z } from "zod";
import { listExecutors, requestDrain } from "../../executors/executor-registry.ts";
import type { InstanceContext } from "../shared/instance-context.ts";
import { errorAnswers, notFound, type ZodScope } from "./zod-scope.ts";

export function executorRoutes(app: ZodScope, context: InstanceContext): void {
  app.get(
    "/executors",
    {
      schema: {
        tags: ["executors"],
        summary: "List executors, active ones first",
        response: { 200: ExecutorList, ...errorAnswers },
      },
    },
    async () => ({ executors: await listExecutors(context.db) }),
  );

  app.post(
    "/executors/:name/drain",
    {
      schema: {
        tags: ["executors"],
        summary: "Ask an executor to take no further jobs and to end with the running ones",
        params: z.strictObject({ name: ExecutorName }),
        response: { 200: ExecutorList.shape.executors.element, ...errorAnswers },
      },
    },
    async (request) => {
      const { name } = request.params;
      if (!(await requestDrain(context.db, name))) throw notFound(`active executor "${name}"`);
      context.notifications.publish({ kind: "executor", executor: name });
      request.log.info({ executor: name }, "executor drain requested");
      const [executor] = await listExecutors(context.db, [name]);
      if (!executor) throw notFound(`active executor "${name}"`);
      return executor;
    },
  );
}

import { ExecutorList } from "@airlock/api";
import { listExecutors } from "../../executors/executor-registry.ts";
import type { InstanceContext } from "../../instance-context.ts";
import { errorAnswers, type ZodScope } from "./zod-scope.ts";

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
}

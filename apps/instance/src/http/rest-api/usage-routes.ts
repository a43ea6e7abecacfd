import { JobUsage } from "@airlock/api";
import { z } from "zod";
import { lastAttemptOf, readUsage } from "../../usage/step-usage.ts";
import { namespaceOfJob } from "../../views/job-views.ts";
import type { InstanceContext } from "../shared/instance-context.ts";
import { accessOf } from "../shared/route-access.ts";
import { errorAnswers, notFound, type ZodScope } from "./zod-scope.ts";

const Id = z.coerce.number().int().positive().max(Number.MAX_SAFE_INTEGER);

export function usageRoutes(app: ZodScope, { db }: InstanceContext): void {
  app.get(
    "/jobs/:id/usage",
    {
      schema: {
        tags: ["jobs"],
        summary: "Read what the steps of an attempt, by default the last, used over time",
        params: z.strictObject({ id: Id }),
        querystring: z.strictObject({
          attempt: z.coerce
            .number()
            .int()
            .positive()
            .max(2 ** 31 - 1)
            .optional(),
        }),
        response: { 200: JobUsage, ...errorAnswers },
      },
    },
    async (request) => {
      const { id } = request.params;
      const namespace = await namespaceOfJob(db, id);
      if (namespace === null) throw notFound(`job ${id}`);
      accessOf(request).require({ namespace }, notFound(`job ${id}`));
      return await readUsage(db, id, request.query.attempt ?? (await lastAttemptOf(db, id)));
    },
  );
}
